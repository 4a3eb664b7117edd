"""MAZE: a classifier copied from its probabilities, with replay.

  python -m jaxkd.main --config=configs/maze.py
  python -m jaxkd.main --config=configs/maze.py:dataset=cifar10
  python -m jaxkd.main --config=configs/maze.py:smoke

The numbers are those of the released code, but its networks, which the zoo
does not have. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(teacher="ideal_lenet", student="ideal_lenet")
RESNETS = dict(teacher="resnet34", student="resnet18")
PUBLISHED = dict(budget=5_000_000, batch_size=128)
# By data set; `rate` is the generator's learning rate.
RECIPES = {
  "mnist_5k": dict(LENETS, budget=250_000, batch_size=64, rate=1e-2),
  "fashion_mnist": dict(LENETS, **PUBLISHED, rate=1e-3),
  "svhn_cropped": dict(RESNETS, **PUBLISHED, rate=1e-4),
  "cifar10": dict(RESNETS, **PUBLISHED, rate=1e-4),
}
SMOKE = dict(budget=480, batch_size=16)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  sgd = c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4)
  return c.experiment(
    "maze",
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
      "optimizer": sgd,
      "round_optimizer": sgd,
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": recipe["batch_size"],
      "latents": 0,  # 0: as published
      "width": 32 if args["dataset"] == "mnist_5k" else 0,
      "num_directions": 10,
      "radius": 1e-3,
      "student_steps": 5,
      "replay_steps": 10,
      "optimizer": {**sgd, "learning_rate": recipe["rate"]},
      "capacity": 20_000,
    },
    queries={"budget": recipe["budget"]},
    hyper={"label_floor": 0.01},
  )
