"""DAFL: a classifier copied through a generator that it trains.

  python -m jaxkd.main --config=configs/dafl.py
  python -m jaxkd.main --config=configs/dafl.py:dataset=mnist
  python -m jaxkd.main --config=configs/dafl.py:dataset=cifar10,datafree
  python -m jaxkd.main --config=configs/dafl.py:dataset=cifar10,objective=htc
  python -m jaxkd.main --config=configs/dafl.py:smoke

The numbers are those of the authors' code, with `datafree` those of DataFree
(wrn40_2 to wrn16_1; `teacher=resnet34,student=resnet18` is its other pair).
SVHN, which they do not have, takes CIFAR-10's numbers. `objective=htc` is for
teachers that resist copying: the student learns by high-temperature
composition. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half", image_size=32)
RESNETS = dict(teacher="resnet34", student="resnet18", image_size=0)
WIDE_RESNETS = dict(teacher="wrn40_2", student="wrn16_1", image_size=0)

PUBLISHED = dict(
  num_rounds=200,  # epochs
  steps_per_round=120,
  batch_size=512,
  student_steps=1,
  latents=100,
  width=0,  # 0: as published
  step_size=0.2,
  weights=dict(one_hot=1.0, balance=5.0, activation=0.1),
)
PUBLISHED_RESNETS = dict(
  PUBLISHED,
  num_rounds=2000,
  batch_size=1024,
  latents=1000,
  step_size=0.02,
  weights=dict(one_hot=0.05, balance=5.0, activation=0.01),
)
MANY_CLASSES = dict(
  PUBLISHED_RESNETS,
  weights=dict(one_hot=0.5, balance=20.0, activation=0.1),
)
# By data set: networks, and fields of `synthesis`.
ORIGINAL = {
  "mnist_5k": (
    LENETS,
    dict(
      PUBLISHED,
      num_rounds=20,
      steps_per_round=50,
      batch_size=128,
      student_steps=3,
      width=16,
      step_size=0.1,
    ),
  ),
  "mnist": (LENETS, PUBLISHED),
  "fashion_mnist": (LENETS, PUBLISHED),
  "svhn_cropped": (RESNETS, PUBLISHED_RESNETS),
  "cifar10": (RESNETS, PUBLISHED_RESNETS),
  "cifar100": (RESNETS, MANY_CLASSES),
  # As of the data sets above with as many classes.
  "tiny_imagenet": (RESNETS, MANY_CLASSES),
  "imagenet12": (dict(RESNETS, teacher="vgg16"), PUBLISHED_RESNETS),
}
DATAFREE = {
  "cifar10": (
    WIDE_RESNETS,
    dict(
      num_rounds=200,
      steps_per_round=400,
      batch_size=256,
      student_steps=5,
      latents=512,
      width=0,
      step_size=1e-3,
      weights=dict(one_hot=1.0, balance=20.0, activation=0.001),
    ),
  ),
}
SMOKE = dict(num_rounds=2, steps_per_round=6, batch_size=16, width=8)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", datafree=False, objective="")
  datafree, small = args["datafree"], args["dataset"] == "mnist_5k"
  networks, recipe = c.lookup(
    DATAFREE if datafree else ORIGINAL, args["dataset"]
  )
  image_size = networks["image_size"]
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  config = c.experiment(
    "dafl",
    args,
    image_size=image_size,
    teacher={
      "model": networks["teacher"],
      **teacher_training(args["dataset"], image_size),
    },
    student={
      "model": networks["student"],
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
      "round_optimizer": student_optimizer(image_size, datafree, small),
    },
    synthesis={
      **recipe,
      "mode": "datafree" if datafree else "original",
      "generator": "upsampling_large" if datafree else "dafl",
      "balance": "ln_sum" if datafree else "log10_sum",
      "capacity": 4 * recipe["batch_size"],
    },
    hyper=(
      {"temperature": 50.0, "alpha": 0.9, "multiplier": 50.0}
      if args["objective"] == "htc"
      else None
    ),
  )
  config.objective = args["objective"]
  return config


def teacher_training(dataset: str, image_size: int):
  """The authors' training of LeNet-5 and ResNet-34; ours of `mnist_5k`, and of
  digits without mirror images.
  """
  if dataset == "mnist_5k":
    return {
      "epochs": 30,
      "batch_size": 128,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
    }
  if image_size:
    return {
      "epochs": 10,
      "batch_size": 256,
      "optimizer": c.optimizer("adam", 1e-3),
    }
  return {
    "epochs": 200,
    "batch_size": 128,
    "augment": ("crop",) if dataset == "svhn_cropped" else ("crop", "flip"),
    "optimizer": c.optimizer(
      "sgd", 0.1, "multistep", weight_decay=5e-4, milestones=(80, 120)
    ),
  }


def student_optimizer(image_size: int, datafree: bool, small: bool):
  """Milestones are fractions of all its updates."""
  if datafree:
    return c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4)
  if small:
    return c.optimizer("adam", 3e-3, "cosine")
  if image_size:
    return c.optimizer("adam", 2e-3)
  return c.optimizer(
    "sgd", 0.1, "multistep", weight_decay=5e-4, milestones=(0.4, 0.8)
  )
