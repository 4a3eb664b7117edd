"""MAZE: a classifier copied from its probabilities, with replay.

  python -m jaxkd.main --config=configs/maze.py
  python -m jaxkd.main --config=configs/maze.py:dataset=cifar10
  python -m jaxkd.main --config=configs/maze.py:smoke

The numbers are those of the released code, but its networks, which the zoo
does not have. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

# dataset: teacher, student, budget, batch size, learning rate of the generator
RECIPES = {
  "mnist_5k": ("ideal_lenet", "ideal_lenet", 250_000, 64, 1e-2),
  "fashion_mnist": ("ideal_lenet", "ideal_lenet", 5_000_000, 128, 1e-3),
  "svhn_cropped": ("resnet34", "resnet18", 5_000_000, 128, 1e-4),
  "cifar10": ("resnet34", "resnet18", 5_000_000, 128, 1e-4),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  teacher, student, budget, batch_size, rate = c.of(RECIPES, found["dataset"])
  if found["smoke"]:
    budget, batch_size = 480, 16
  sgd = c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4)
  return c.experiment(
    "maze",
    found,
    teacher={
      "model": teacher,
      "access": "probs",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine"),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": batch_size,
      "optimizer": sgd,
      "round_optimizer": sgd,
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": batch_size,
      "latents": 0,  # 0: as published
      "width": 32 if found["dataset"] == "mnist_5k" else 0,
      "num_directions": 10,
      "radius": 1e-3,
      "student_steps": 5,
      "replay_steps": 10,
      "optimizer": {**sgd, "learning_rate": rate},
      "capacity": 20_000,
    },
    queries={"budget": budget},
    hyper={"label_floor": 0.01},
  )
