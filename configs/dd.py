"""DD: a student copied on the images on which it disagrees with its teacher.

  python -m jaxkd.main --config=configs/dd.py
  python -m jaxkd.main --config=configs/dd.py:dataset=cifar10
  python -m jaxkd.main --config=configs/dd.py:smoke

Data-free adversarial distillation (DFAD). The numbers are those of the authors'
code for CIFAR-10; the other data sets have them as well.
`mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half", image_size=32)
RESNETS = dict(teacher="resnet34", student="resnet18", image_size=0)
PUBLISHED = dict(
  num_rounds=500,  # epochs
  steps_per_round=250,  # updates of the student
  batch_size=256,
  width=0,  # 0: as published
)
# By data set: networks, and fields of `synthesis`.
RECIPES = {
  "mnist_5k": (
    LENETS,
    dict(num_rounds=20, steps_per_round=100, batch_size=128, width=32),
  ),
  "mnist": (LENETS, PUBLISHED),
  "fashion_mnist": (LENETS, PUBLISHED),
  "svhn_cropped": (RESNETS, PUBLISHED),
  "cifar10": (RESNETS, PUBLISHED),
  "cifar100": (RESNETS, PUBLISHED),
}
SMOKE = dict(num_rounds=2, steps_per_round=10, batch_size=16, width=8)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  networks, recipe = c.lookup(RECIPES, args["dataset"])
  if args["smoke"]:
    recipe = SMOKE
  small = args["dataset"] == "mnist_5k"
  # Epochs 100 and 200 of 500, as fractions of all updates.
  drops = {"schedule": "multistep", "milestones": (0.2, 0.4)}
  dafl = c.sibling(__file__, "dafl", f"dataset={args['dataset']}")
  return c.experiment(
    "dd",
    args,
    image_size=networks["image_size"],
    teacher={**dafl.teacher.to_dict(), "model": networks["teacher"]},
    student={
      "model": networks["student"],
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4),
      "round_optimizer": (
        c.optimizer("adam", 2e-3, "cosine")
        if small
        else c.optimizer("sgd", 0.1, weight_decay=5e-4, **drops)
      ),
    },
    synthesis={
      **recipe,
      "student_steps": 5,
      "generator": "dafl" if small else "dfad",
      "latents": 256,
      "optimizer": c.optimizer("adam", 1e-3, **({} if small else drops)),
      "capacity": 4 * recipe["batch_size"],
    },
    hyper={},
  )
