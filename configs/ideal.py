"""IDEAL: a LeNet copied through its labels alone, each paid for once.

python -m jaxkd.main --config=configs/ideal.py
python -m jaxkd.main --config=configs/ideal.py:dataset=mnist
python -m jaxkd.main --config=configs/ideal.py:smoke
"""

from jaxkd import config as c

# dataset: teacher, student, budget Q, batch size B, generator steps E_G
RECIPES = {
  "mnist_5k": ("ideal_lenet", "ideal_lenet", 10_000, 250, 5),
  "mnist": ("ideal_lenet", "ideal_lenet", 25_000, 250, 5),
  "fashion_mnist": ("ideal_lenet", "ideal_lenet", 100_000, 250, 5),
  "svhn_cropped": ("resnet18", "resnet18", 100_000, 250, 5),
  "cifar10": ("resnet34", "resnet18", 250_000, 250, 10),
  "cifar100": ("resnet34", "resnet18", 2_000_000, 1_000, 10),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  teacher, student, budget, batch_size, num_steps = c.of(
    RECIPES, found["dataset"]
  )
  width = 0  # as published
  if found["smoke"]:
    budget, batch_size, width = 200, 50, 8
  return c.experiment(
    "ideal",
    found,
    teacher={
      "model": teacher,
      "access": "label",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle"),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": 250,
      "optimizer": c.optimizer("sgd", 0.01, weight_decay=5e-4),
      "round_optimizer": c.optimizer("sgd", 0.01, weight_decay=5e-4),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": batch_size,
      "num_steps": num_steps,
      "generator": "upsampling",
      "latents": 0,  # 0: as published
      "width": width,
      "step_size": 1e-3,
      "tones": (),
      "weights": {"classification": 1.0, "balance": 5.0},
      "balance": "batch",
      "restart": True,
      "mode": "label_once",
      "passes": 1,
      "pass_batch_size": 250,
      "views": (),
      "student_loss": "cross_entropy",
      "labels": "teacher",
      "source": "generator",
    },
    queries={"budget": budget},
    hyper={},
  )
