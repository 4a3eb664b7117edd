"""CMI: a classifier copied through images that all differ from each other.

  python -m jaxkd.main --config=configs/cmi.py
  python -m jaxkd.main --config=configs/cmi.py:hard
  python -m jaxkd.main --config=configs/cmi.py:dataset=cifar10
  python -m jaxkd.main --config=configs/cmi.py:dataset=cifar10,teacher=vgg11
  python -m jaxkd.main --config=configs/cmi.py:smoke

The numbers are those of the released code for CIFAR-10, from scratch. `hard` is
CMI*: the student is told the teacher's class alone. The teacher needs batch
normalisations: LeNet-5 has none. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

PUBLISHED = dict(
  num_rounds=200,
  batch_size=256,
  num_steps=200,
  student_steps=400,
  student_batch_size=128,
  width=0,  # 0: as published
  step_size=1e-3,
  bank_size=40_960,
  num_negatives=4_096,
)
# By data set: fields of `synthesis`.
RECIPES = {
  "mnist_5k": dict(
    num_rounds=12,
    batch_size=150,
    num_steps=50,
    student_steps=150,
    student_batch_size=64,
    width=16,
    step_size=1e-2,
    bank_size=1_800,
    num_negatives=150,
  ),
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": PUBLISHED,
  "tiny_imagenet": PUBLISHED,
  "imagenet12": PUBLISHED,
}
MIRRORED = ("cifar10", "cifar100", "tiny_imagenet", "imagenet12")
SMOKE = dict(
  num_rounds=2,
  batch_size=20,
  student_steps=5,
  width=8,
  bank_size=40,
  num_negatives=20,
)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", hard=False)
  name, hard = args["dataset"], args["hard"]
  recipe = c.lookup(RECIPES, name)
  small = name == "mnist_5k"
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  teacher, student = (
    ("cnn_quarter", "cnn_quarter") if small else ("resnet34", "resnet18")
  )
  flips = ("flip",) if name in MIRRORED else ()
  resnet = args.get("teacher", teacher).startswith("resnet")
  return c.experiment(
    "cmi",
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
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4),
      "round_optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4),
    },
    synthesis={
      **recipe,
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "head_step_size": 1e-3,
      "weights": {
        "classification": 1.0,
        "batch_norm": 1.0,
        "adversarial": 0.5,
        "contrast": 0.8,
      },
      "features": "taps" if resnet else "batch_norms",
      "temperature": 0.1,
      "global_views": ("crop", *flips),
      "local_views": ("resized_crop", *flips),
      "student": "hard" if hard else "soft",
    },
    hyper={} if hard else {"temperature": 20.0, "alpha": 1.0},
  )
