"""CaBaGE: a classifier copied through labels of images that its clones select.

  python -m jaxkd.main --config=configs/cabage.py
  python -m jaxkd.main --config=configs/cabage.py:access=probs
  python -m jaxkd.main --config=configs/cabage.py:dataset=cifar10
  python -m jaxkd.main --config=configs/cabage.py:smoke

No published numbers could be read: those that DisGUIDE has as well are of
`disguide.py`; `generators`, `candidates` and `criterion` are ours. The budgets
are those that IDEAL (ICLR 2023) compares methods at.
"""

from jaxkd import config as c

LENETS = dict(
  teacher="lenet5",
  student="lenet5",
  image_size=32,
  batch_size=100,
  generator_steps=2,
  replay_steps=5,
  width=32,
  rate=3e-3,
  clone_rate=0.03,
  diversity=1.0,
)
RESNETS = dict(
  teacher="resnet34",
  student="resnet18",
  image_size=0,
  teacher_epochs=30,
  epochs=0,
  batch_size=256,
  generator_steps=1,
  replay_steps=3,
  width=0,  # 0: as published
  rate=1e-4,
  clone_rate=0.03,
  diversity=0.2,
)
# By data set; `rate` is the generator's learning rate.
RECIPES = {
  "mnist_5k": dict(LENETS, teacher_epochs=30, budget=10_000, epochs=60),
  "mnist": dict(LENETS, teacher_epochs=10, budget=25_000, epochs=30),
  "fashion_mnist": dict(LENETS, teacher_epochs=20, budget=100_000, epochs=25),
  "svhn_cropped": dict(RESNETS, budget=100_000),
  "cifar10": dict(RESNETS, budget=250_000),
  "cifar100": dict(RESNETS, budget=2_000_000, diversity=0.04),
}
SMOKE = dict(
  budget=60, batch_size=20, generator_steps=2, replay_steps=2, width=8, epochs=1
)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", access="label")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  return c.experiment(
    "cabage",
    args,
    image_size=recipe["image_size"],
    teacher={
      "model": recipe["teacher"],
      "access": args["access"],
      "epochs": recipe["teacher_epochs"],
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle"),
    },
    student={
      "model": recipe["student"],
      "epochs": recipe["epochs"],
      "batch_size": 32,
      "optimizer": c.optimizer("sgd", 0.03, "one_cycle", weight_decay=5e-3),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": recipe["batch_size"],
      "generator": "dfme",
      "latents": 0,  # 0: as published
      "width": recipe["width"],
      "generator_steps": recipe["generator_steps"],
      "replay_steps": recipe["replay_steps"],
      "clones": 2,
      "generators": 2 if args["smoke"] else 4,
      "candidates": 4,
      "criterion": "margin",
      "weights": {"disagreement": 1.0, "diversity": recipe["diversity"]},
      "optimizer": optimizer("adam", recipe["rate"]),
      "clone_optimizer": {
        **optimizer("sgd", recipe["clone_rate"]),
        "weight_decay": 5e-4,
        "clip_norm": 1.0,  # else the clones of a seed of mnist_5k diverge
      },
      "capacity": 1_000_000,
    },
    queries={"budget": recipe["budget"]},
    hyper={},
  )


def optimizer(name: str, rate: float) -> dict:
  return c.optimizer(name, rate, "multistep", factor=0.3, milestones=(0.4, 0.8))
