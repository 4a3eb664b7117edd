"""DFME: a classifier copied from its probabilities, without any data.

  python -m jaxkd.main --config=configs/dfme.py
  python -m jaxkd.main --config=configs/dfme.py:dataset=cifar10
  python -m jaxkd.main --config=configs/dfme.py:smoke

`cifar10` and `svhn_cropped` have the published budgets and numbers, the others
the budgets that IDEAL (ICLR 2023) compares methods at, there with labels alone
(`--config.teacher.access=label`). `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(
  teacher="ideal_lenet", student="ideal_lenet", batch_size=256, rate=1e-4
)
RESNETS = dict(
  teacher="resnet34", student="resnet18", batch_size=256, rate=1e-4
)
# By data set; `rate` is the generator's learning rate.
RECIPES = {
  "mnist_5k": dict(LENETS, budget=250_000, batch_size=64, rate=1e-3),
  "mnist": dict(LENETS, budget=25_000),
  "fashion_mnist": dict(LENETS, budget=100_000),
  "svhn_cropped": dict(RESNETS, budget=2_000_000, rate=5e-5),
  "cifar10": dict(RESNETS, budget=20_000_000),
  "cifar100": dict(RESNETS, budget=2_000_000),
  "tiny_imagenet": dict(RESNETS, budget=2_000_000),
  "imagenet12": dict(RESNETS, teacher="vgg16", budget=250_000),
}
SMOKE = dict(budget=560, batch_size=16)
MILESTONES = {"svhn_cropped": (0.5, 0.8)}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  milestones = MILESTONES.get(args["dataset"], (0.1, 0.3, 0.5))
  return c.experiment(
    "dfme",
    args,
    teacher={
      "model": recipe["teacher"],
      "access": "probs",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine"),
    },
    student={
      "model": recipe["student"],
      "epochs": 0,
      "batch_size": recipe["batch_size"],
      "optimizer": c.optimizer("sgd", 0.1),
      "round_optimizer": c.optimizer(
        "sgd",
        0.1,
        "multistep",
        weight_decay=5e-4,
        factor=0.3,
        milestones=milestones,
      ),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": recipe["batch_size"],
      "latents": 0,  # 0: as published
      "width": 32 if args["dataset"] == "mnist_5k" else 0,
      "num_directions": 1,
      "radius": 1e-3,
      "generator_steps": 1,
      "student_steps": 5,
      "optimizer": c.optimizer(
        "adam",
        recipe["rate"],
        "multistep",
        factor=0.3,
        milestones=milestones,
      ),
      "capacity": 20_000,
    },
    queries={"budget": recipe["budget"]},
    hyper={"label_floor": 0.01},
  )
