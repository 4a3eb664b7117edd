"""DFME: a classifier copied from its probabilities, without any data.

  python -m jaxkd.main --config=configs/dfme.py
  python -m jaxkd.main --config=configs/dfme.py:dataset=cifar10
  python -m jaxkd.main --config=configs/dfme.py:smoke

`cifar10` and `svhn_cropped` have the published budgets and numbers, the others
the budgets that IDEAL (ICLR 2023) compares methods at, there with labels alone
(`--config.teacher.access=label`). `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

# dataset: teacher, student, budget, batch size, learning rate of the generator
RECIPES = {
  "mnist_5k": ("ideal_lenet", "ideal_lenet", 250_000, 64, 1e-3),
  "mnist": ("ideal_lenet", "ideal_lenet", 25_000, 256, 1e-4),
  "fashion_mnist": ("ideal_lenet", "ideal_lenet", 100_000, 256, 1e-4),
  "svhn_cropped": ("resnet34", "resnet18", 2_000_000, 256, 5e-5),
  "cifar10": ("resnet34", "resnet18", 20_000_000, 256, 1e-4),
  "cifar100": ("resnet34", "resnet18", 2_000_000, 256, 1e-4),
}
MILESTONES = {"svhn_cropped": (0.5, 0.8)}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  teacher, student, budget, batch_size, rate = c.of(RECIPES, found["dataset"])
  if found["smoke"]:
    budget, batch_size = 560, 16
  milestones = MILESTONES.get(found["dataset"], (0.1, 0.3, 0.5))
  return c.experiment(
    "dfme",
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
      "batch_size": batch_size,
      "latents": 0,  # 0: as published
      "width": 32 if found["dataset"] == "mnist_5k" else 0,
      "num_directions": 1,
      "radius": 1e-3,
      "generator_steps": 1,
      "student_steps": 5,
      "optimizer": c.optimizer(
        "adam", rate, "multistep", factor=0.3, milestones=milestones
      ),
      "capacity": 20_000,
    },
    queries={"budget": budget},
    hyper={"label_floor": 0.01},
  )
