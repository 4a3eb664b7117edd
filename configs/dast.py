"""DaST: a substitute and a generator with a branch per class, from labels.

  python -m jaxkd.main --config=configs/dast.py
  python -m jaxkd.main --config=configs/dast.py:dataset=mnist
  python -m jaxkd.main --config=configs/dast.py:smoke

DaST-L. DaST-P is `--config.teacher.access=probs --config.hyper.beta=0.1`. The
budgets are those that IDEAL (ICLR 2023) compares methods at; the paper's own
runs ask for 5e8 to 1e9 images. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

# dataset: teacher, student, budget, batch size
RECIPES = {
  "mnist_5k": ("dast_medium", "dast_large", 25_000, 100),
  "mnist": ("dast_medium", "dast_large", 25_000, 500),
  "fashion_mnist": ("dast_medium", "dast_large", 100_000, 500),
  "svhn_cropped": ("vgg16", "vgg13", 100_000, 500),
  "cifar10": ("vgg16", "vgg13", 250_000, 500),
  "cifar100": ("vgg16", "vgg13", 2_000_000, 500),
}


def get_config(argument: str = ""):
  found = c.arguments(argument, dataset="mnist_5k")
  teacher, student, budget, batch_size = c.of(RECIPES, found["dataset"])
  small = found["dataset"] == "mnist_5k" or found["smoke"]
  rate = 1e-3 if small else 1e-4
  return c.experiment(
    "dast",
    found,
    teacher={
      "model": teacher,
      "access": "label",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.05, "cosine"),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": batch_size,
      "optimizer": c.optimizer("adam", rate),
      "round_optimizer": c.optimizer("adam", rate),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": 20 if found["smoke"] else batch_size,
      "latents": 0,  # 0: as published
      "width": 8 if small else 0,
      "alpha": 0.2,
      "step_size": rate,
      "capacity": 20_000,
    },
    queries={"budget": 100 if found["smoke"] else budget},
    hyper={"beta": 0.0},
  )
