"""DD: a student copied on the images on which it disagrees with its teacher.

  python -m jaxkd.main --config=configs/dd.py
  python -m jaxkd.main --config=configs/dd.py:dataset=cifar10
  python -m jaxkd.main --config=configs/dd.py:smoke

Data-free adversarial distillation (DFAD). The numbers are those of the authors'
code: its script for MNIST, which Fashion-MNIST has as well, and its script for
CIFAR-10, which the other data sets of colour images have.
`mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half", image_size=32)
RESNETS = dict(teacher="resnet34", student="resnet18", image_size=0)
PUBLISHED = dict(
  num_rounds=500,  # epochs
  steps_per_round=250,  # updates of the student
  batch_size=256,
  latents=256,
  width=0,  # 0: as published
)
PUBLISHED_GREY = dict(PUBLISHED, num_rounds=40, batch_size=512, latents=100)
# By data set: networks, and fields of `synthesis`.
RECIPES = {
  "mnist_5k": (
    LENETS,
    dict(
      PUBLISHED, num_rounds=20, steps_per_round=100, batch_size=128, width=32
    ),
  ),
  "mnist": (LENETS, PUBLISHED_GREY),
  "fashion_mnist": (LENETS, PUBLISHED_GREY),
  "svhn_cropped": (RESNETS, PUBLISHED),
  "cifar10": (RESNETS, PUBLISHED),
  "cifar100": (RESNETS, PUBLISHED),
}
SMOKE = dict(
  num_rounds=2, steps_per_round=10, batch_size=16, latents=256, width=8
)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  networks, recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = SMOKE
  small = args["dataset"] == "mnist_5k"
  grey = args["dataset"] in ("mnist", "fashion_mnist")
  # Epochs 100 and 200 of 500, as fractions of all updates.
  drops = {"schedule": "multistep", "milestones": (0.2, 0.4)}
  teacher = c.sibling(__file__, "dafl", f"dataset={args['dataset']}").teacher
  if grey:
    teacher.epochs, teacher.batch_size = 10, 256
    teacher.optimizer = c.optimizer("sgd", 0.01, weight_decay=1e-4)
  if small:
    round_optimizer = c.optimizer("adam", 2e-3, "cosine")
  elif grey:
    round_optimizer = c.optimizer("sgd", 0.01, weight_decay=1e-4)
  else:
    round_optimizer = c.optimizer("sgd", 0.1, weight_decay=5e-4, **drops)
  return c.experiment(
    "dd",
    args,
    image_size=networks["image_size"],
    teacher={**teacher.to_dict(), "model": networks["teacher"]},
    student={
      "model": networks["student"],
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4),
      "round_optimizer": round_optimizer,
    },
    synthesis={
      **recipe,
      "student_steps": 5,
      "generator": "dafl" if small else "dfad",
      "optimizer": c.optimizer(
        "adam", 1e-3, **({} if small or grey else drops)
      ),
      "capacity": 4 * recipe["batch_size"],
    },
    hyper={},
  )
