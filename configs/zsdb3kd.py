"""ZSDB3KD: a classifier copied from labels, through its decision boundary.

  python -m jaxkd.main --config=configs/zsdb3kd.py
  python -m jaxkd.main --config=configs/zsdb3kd.py:dataset=mnist
  python -m jaxkd.main --config=configs/zsdb3kd.py:smoke

The budgets are those that IDEAL (ICLR 2023) compares methods at; the searches
are ours, 610 queries for the four samples of a walk. The depth of the released
code is moves=40, moves_per_sample=5, longest_move=0.5, probes=20,
directions=200, refinements=8, smoothing=1e-3, tolerance=1e-5: 190,000 queries
for a walk of eight samples, and 530,000 with distances="mbd". Budgets that do
not pay for one walk are refused. LeNets are trained by Adam at the rate of the
released code: with SGD at .1 some seeds stay at chance.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half")
# By data set.
RECIPES = {
  "mnist_5k": dict(LENETS, budget=25_000),
  "mnist": dict(LENETS, budget=25_000),
  "fashion_mnist": dict(LENETS, budget=100_000),
  "svhn_cropped": dict(teacher="resnet18", student="resnet18", budget=100_000),
  "cifar10": dict(
    teacher="zsdb3kd_alexnet", student="zsdb3kd_alexnet_half", budget=250_000
  ),
  "cifar100": dict(teacher="resnet34", student="resnet18", budget=2_000_000),
  "tiny_imagenet": dict(
    teacher="resnet34", student="resnet18", budget=2_000_000, image_size=0
  ),
  "imagenet12": dict(
    teacher="vgg16", student="resnet18", budget=250_000, image_size=0
  ),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  recipe = c.lookup(RECIPES, args["dataset"])
  return c.experiment(
    "zsdb3kd",
    args,
    image_size=recipe.get("image_size", 32),
    teacher={
      "model": recipe["teacher"],
      "access": "label",
      "epochs": 30,
      "batch_size": 256,
      "optimizer": c.optimizer("adam", 5e-4)
      if recipe["teacher"].startswith("lenet")
      else c.optimizer("sgd", 0.1, "cosine"),
    },
    student={
      "model": recipe["student"],
      "epochs": 200,
      "batch_size": 512,
      "optimizer": c.optimizer("adam", 1e-3),
    },
    synthesis={
      "num_rounds": 0,  # 0: as few as the memory allows
      "num_walks": 0,  # 0: as many as the budget pays for
      "noise": 50,
      "moves": 4,
      "longest_move": 8.0,
      "moves_per_sample": 1,
      "refinements": 4,
      "probes": 5,
      "directions": 10,
      "smoothing": 1.0,
      "tolerance": 0.1,
      "distances": "sd",
    },
    queries={"budget": 5_000 if args["smoke"] else recipe["budget"]},
    hyper={"temperature": 20.0, "multiplier": 512.0},
  )
