"""DaST: a substitute and a generator with a branch per class, from labels.

  python -m jaxkd.main --config=configs/dast.py
  python -m jaxkd.main --config=configs/dast.py:dataset=mnist
  python -m jaxkd.main --config=configs/dast.py:smoke

DaST-L. DaST-P is `--config.teacher.access=probs --config.hyper.beta=0.1`. The
budgets are those that IDEAL (ICLR 2023) compares methods at; the paper's own
runs ask for 5e8 to 1e9 images. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

DASTS = dict(teacher="dast_medium", student="dast_large", batch_size=500)
VGGS = dict(teacher="vgg16", student="vgg13", batch_size=500)
# By data set.
RECIPES = {
  "mnist_5k": dict(DASTS, budget=25_000, batch_size=100),
  "mnist": dict(DASTS, budget=25_000),
  "fashion_mnist": dict(DASTS, budget=100_000),
  "svhn_cropped": dict(VGGS, budget=100_000),
  "cifar10": dict(VGGS, budget=250_000),
  "cifar100": dict(VGGS, budget=2_000_000),
  # Batches are divided among the classes.
  "tiny_imagenet": dict(VGGS, budget=2_000_000, batch_size=400),
  "imagenet12": dict(VGGS, budget=250_000, batch_size=504),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  recipe = c.lookup(RECIPES, args["dataset"])
  small = args["dataset"] == "mnist_5k" or args["smoke"]
  rate = 1e-3 if small else 1e-4
  return c.experiment(
    "dast",
    args,
    teacher={
      "model": recipe["teacher"],
      "access": "label",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.05, "cosine"),
    },
    student={
      "model": recipe["student"],
      "epochs": 0,
      "batch_size": recipe["batch_size"],
      "optimizer": c.optimizer("adam", rate),
      "round_optimizer": c.optimizer("adam", rate),
    },
    synthesis={
      "num_rounds": 0,  # 0: as many as the budget pays for
      "batch_size": 20 if args["smoke"] else recipe["batch_size"],
      "latents": 0,  # 0: as published
      "width": 8 if small else 0,
      "alpha": 0.2,
      "step_size": rate,
      "capacity": 20_000,
    },
    queries={"budget": 100 if args["smoke"] else recipe["budget"]},
    hyper={"beta": 0.0},
  )
