"""DAFL: a classifier copied through a generator that the classifier judges.

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

LENETS = ("lenet5", "lenet5_half", 32)
RESNETS = ("resnet34", "resnet18", 0)
WIDE_RESNETS = ("wrn40_2", "wrn16_1", 0)

# dataset: teacher, student, image size; epochs, batches in one, the student's
# updates for one of the generator, batch size; latents, width (0: as published)
# and step size of the generator; weights of one_hot, balance and activation
ORIGINAL = {
  "mnist_5k": (*LENETS, 20, 50, 3, 128, 100, 16, 0.1, (1.0, 5.0, 0.1)),
  "mnist": (*LENETS, 200, 120, 1, 512, 100, 0, 0.2, (1.0, 5.0, 0.1)),
  "fashion_mnist": (*LENETS, 200, 120, 1, 512, 100, 0, 0.2, (1.0, 5.0, 0.1)),
  "svhn_cropped": (
    *RESNETS, 2000, 120, 1, 1024, 1000, 0, 0.02, (0.05, 5.0, 0.01),
  ),
  "cifar10": (*RESNETS, 2000, 120, 1, 1024, 1000, 0, 0.02, (0.05, 5.0, 0.01)),
  "cifar100": (*RESNETS, 2000, 120, 1, 1024, 1000, 0, 0.02, (0.5, 20.0, 0.1)),
}  # fmt: skip
DATAFREE = {
  "cifar10": (
    *WIDE_RESNETS, 200, 400, 5, 256, 512, 0, 1e-3, (1.0, 20.0, 0.001),
  ),
}  # fmt: skip


def get_config(argument: str = ""):
  found = c.arguments(
    argument, dataset="mnist_5k", datafree=False, objective=""
  )
  datafree, small = found["datafree"], found["dataset"] == "mnist_5k"
  (
    teacher, student, image_size, epochs, batches, student_steps, batch_size,
    latents, width, step_size, weights,
  ) = c.of(DATAFREE if datafree else ORIGINAL, found["dataset"])  # fmt: skip
  if found["smoke"]:
    epochs, batches, batch_size, width = 2, 6, 16, 8
  one_hot, balance, activation = weights
  config = c.experiment(
    "dafl",
    found,
    image_size=image_size,
    teacher={
      "model": teacher,
      **teacher_training(found["dataset"], image_size),
    },
    student={
      "model": student,
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
      "round_optimizer": student_optimizer(image_size, datafree, small),
    },
    synthesis={
      "num_rounds": epochs,
      "steps_per_round": batches,
      "batch_size": batch_size,
      "mode": "datafree" if datafree else "original",
      "student_steps": student_steps,
      "generator": "upsampling_large" if datafree else "dafl",
      "latents": latents,
      "width": width,
      "step_size": step_size,
      "weights": {
        "one_hot": one_hot,
        "balance": balance,
        "activation": activation,
      },
      "balance": "ln_sum" if datafree else "log10_sum",
      "capacity": 4 * batch_size,
    },
    hyper=(
      {"temperature": 50.0, "alpha": 0.9, "multiplier": 50.0}
      if found["objective"] == "htc"
      else None
    ),
  )
  config.objective = found["objective"]
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
