"""ZSKT: a student copied on the images that it understands least.

  python -m jaxkd.main --config=configs/zskt.py
  python -m jaxkd.main --config=configs/zskt.py:dataset=mnist
  python -m jaxkd.main --config=configs/zskt.py:dataset=cifar10
  python -m jaxkd.main --config=configs/zskt.py:dataset=cifar10,datafree
  python -m jaxkd.main --config=configs/zskt.py:smoke

The numbers are those of the authors' code for CIFAR-10 (WRN-40-2 to WRN-16-1,
80,000 rounds), with `datafree` those of DataFree; the other data sets have them
as well.
Networks that do not show maps of the same sizes need
`--config.hyper.attention=0`. `mnist_5k` is our recipe for two CPU cores.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half", image_size=32)
RESNETS = dict(teacher="resnet34", student="resnet18", image_size=0)
WIDE_RESNETS = dict(teacher="wrn40_2", student="wrn16_1", image_size=0)

PUBLISHED = dict(
  num_rounds=200,  # epochs
  steps_per_round=400,  # batches of latents
  batch_size=128,
  student_steps=10,  # on each of them
  width=0,  # 0: as published
)
PUBLISHED_DATAFREE = dict(PUBLISHED, batch_size=256, student_steps=5)
# By data set: networks, and fields of `synthesis`.
ORIGINAL = {
  "mnist_5k": (
    LENETS,
    dict(
      num_rounds=10,
      steps_per_round=50,
      batch_size=128,
      student_steps=5,
      width=32,
    ),
  ),
  "mnist": (LENETS, PUBLISHED),
  "fashion_mnist": (LENETS, PUBLISHED),
  "svhn_cropped": (WIDE_RESNETS, PUBLISHED),
  "cifar10": (WIDE_RESNETS, PUBLISHED),
  "cifar100": (WIDE_RESNETS, PUBLISHED),
  "tiny_imagenet": (WIDE_RESNETS, PUBLISHED),
  "imagenet12": (WIDE_RESNETS, PUBLISHED),
}
DATAFREE = {
  "cifar10": (RESNETS, PUBLISHED_DATAFREE),
  "cifar100": (RESNETS, PUBLISHED_DATAFREE),
}
SMOKE = dict(num_rounds=2, steps_per_round=6, batch_size=16, width=8)


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", datafree=False)
  datafree, small = args["datafree"], args["dataset"] == "mnist_5k"
  networks, recipe = c.lookup(
    DATAFREE if datafree else ORIGINAL, args["dataset"]
  )
  if args["smoke"]:
    recipe = {**recipe, **SMOKE}
  generator = "maze" if small else "zskt"
  dafl = c.sibling(__file__, "dafl", f"dataset={args['dataset']}")
  return c.experiment(
    "zskt",
    args,
    image_size=networks["image_size"],
    teacher={**dafl.teacher.to_dict(), "model": networks["teacher"]},
    student={
      "model": networks["student"],
      "epochs": 0,
      "batch_size": 256,
      "optimizer": c.optimizer("sgd", 0.1, "cosine", weight_decay=5e-4),
      "round_optimizer": (
        c.optimizer("sgd", 0.1, "cosine", weight_decay=1e-4)
        if datafree
        else c.optimizer("adam", 2e-3, "cosine", clip_norm=5.0)
      ),
    },
    synthesis={
      **recipe,
      "mode": "datafree" if datafree else "original",
      "generator_steps": 1,
      "generator": "upsampling_large" if datafree else generator,
      "latents": 256 if datafree else 100,
      "step_size": 1e-3,
      "reduction": "batch_mean" if datafree else "element_mean",
      "capacity": 4 * recipe["batch_size"],
    },
    hyper={"temperature": 1.0, "attention": 0.0 if datafree else 250.0},
  )
