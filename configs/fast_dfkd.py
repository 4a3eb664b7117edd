"""FastDFKD: a classifier copied through images that take a few steps each.

  python -m jaxkd.main --config=configs/fast_dfkd.py
  python -m jaxkd.main --config=configs/fast_dfkd.py:dataset=cifar10
  python -m jaxkd.main --config=configs/fast_dfkd.py:dataset=cifar100
  python -m jaxkd.main --config=configs/fast_dfkd.py:smoke

The numbers are those of the released script for CIFAR, from ResNet-34 with five
steps. The teacher needs batch normalisations: LeNet-5 has none. `mnist_5k` is
our recipe for two CPU cores: the networks, images and updates of `cmi.py`, a
tenth of its steps, and two rounds of warm-up before them.
"""

from jaxkd import config as c

PUBLISHED = dict(
  num_rounds=220,
  batch_size=256,
  width=0,  # 0: as published
  step_size=3e-3,
  latent_step_size=0.01,
  warmup=20,
  student_steps=400,
  student_batch_size=256,
)
# By data set: fields of `synthesis`.
RECIPES = {
  "mnist_5k": dict(
    num_rounds=14,
    batch_size=150,
    width=16,
    step_size=1e-2,
    latent_step_size=0.03,
    warmup=2,
    student_steps=150,
    student_batch_size=64,
  ),
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": PUBLISHED,
}
MIRRORED = ("cifar10", "cifar100")
SMOKE = dict(num_rounds=2, batch_size=20, warmup=1, student_steps=5, width=8)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  name = args["dataset"]
  recipe = c.lookup(RECIPES, name)
  small = name == "mnist_5k"
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  teacher, student = (
    ("cnn_quarter", "cnn_quarter") if small else ("resnet34", "resnet18")
  )
  flips = ("flip",) if name in MIRRORED else ()
  return c.experiment(
    "fast_dfkd",
    args,
    teacher={
      "model": teacher,
      "epochs": 10 if small else 200,
      "batch_size": 128,
      "augment": () if small else ("crop", *flips),
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": recipe["student_batch_size"],
      "optimizer": sgd(0.1 if small else 0.2),
      "round_optimizer": sgd(0.1 if small else 0.2),
    },
    synthesis={
      **recipe,
      "num_steps": 5,
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "weights": {
        "classification": 0.5,
        "batch_norm": 10.0,
        "adversarial": 1.33,
      },
      "momentum": 0.9,
      "meta": "fomaml",
      "views": ("crop", *flips),
    },
    hyper={"temperature": 20.0, "alpha": 1.0},
  )


def sgd(rate: float) -> dict:
  return c.optimizer("sgd", rate, "cosine", weight_decay=1e-4)
