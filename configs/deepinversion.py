"""DeepInversion: a classifier copied through what its layers remember of data.

  python -m jaxkd.main --config=configs/deepinversion.py
  python -m jaxkd.main --config=configs/deepinversion.py:adi
  python -m jaxkd.main --config=configs/deepinversion.py:adi,dataset=cifar10
  python -m jaxkd.main --config=configs/deepinversion.py:dataset=cifar10
  python -m jaxkd.main --config=configs/deepinversion.py:deepdream
  python -m jaxkd.main --config=configs/deepinversion.py:smoke

`adi` is Adaptive DeepInversion: the student competes with the teacher while
images are made. Images are optimised as in the authors' code for CIFAR-10, with
`datafree` as in DataFree's. How many there are, and how the student learns from
them, has not been released by the authors: that is ours, but for a new batch
every 50 updates in `adi`, which is the paper's. The teacher needs batch
normalisations: LeNet-5 has none. `mnist_5k` is our recipe for two CPU cores.

`deepdream` leaves the term of the statistics out, as in the comparisons of the
paper with DeepDream, so that any teacher will do. The row "DD" of CAKE's poster
may be this: its text says of DD that it needs no kind of network, but not what
it is, and the printed 93.3 is the number of DFAD (`dd.py`).

With `image_size`, the side of the images in pixels, `dataset` is any data, as a
folder or `none`: `configs/deepinversion.py:dataset=photos,image_size=224`. From
128 pixels images are optimised as in the authors' code for ImageNet, so many as
7 GiB hold (they made 140,000); from 48 pixels by a recipe of ours.
"""

from jaxkd import config as c

PUBLISHED = dict(
  num_rounds=200,
  batch_size=256,
  num_steps=2000,
  step_size=0.05,
  total_variation=2.5e-5,  # its weight
  student_steps=50,  # in `adi`
)
OURS = dict(
  num_rounds=12,
  batch_size=250,
  num_steps=60,
  step_size=0.1,
  total_variation=1e-3,
  student_steps=50,
)
# By data set: fields of `synthesis`, and a weight in it.
ORIGINAL = {
  "mnist_5k": OURS,
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": PUBLISHED,
  "tiny_imagenet": PUBLISHED,
  "imagenet12": PUBLISHED,
}
# The same for other data, by the least side of the images in pixels.
SIZED = {
  0: PUBLISHED,
  48: dict(
    OURS,
    num_rounds=20,
    batch_size=128,
    num_steps=120,
    coarse_steps=60,
    start="procedural",
    schedule="cosine",
    warmup_steps=5,
    jitter=6,
    mirror=True,
    clip=True,
  ),
  128: dict(
    num_rounds=150,
    batch_size=84,
    num_steps=3000,
    coarse_steps=2000,
    step_size=0.25,
    schedule="cosine",
    warmup_steps=100,
    betas=(0.5, 0.9),
    jitter=30,
    mirror=True,
    clip=True,
    norm="images",
    first_batch_norm=10.0,
    total_variation=1e-4,
    batch_norm=0.01,
    norm_weight=1e-5,
    student_steps=50,
  ),
}
DATAFREE = dict.fromkeys(
  ("svhn_cropped", "cifar10", "cifar100"),
  dict(
    num_rounds=200,
    batch_size=256,
    num_steps=1000,
    step_size=0.1,
    total_variation=1e-3,
    student_steps=400,
  ),
)
SMOKE = dict(num_rounds=2, batch_size=20, student_steps=5)
CNNS = dict(teacher="cnn_quarter", student="cnn_quarter", epochs=10, rate=0.05)
RESNETS = dict(teacher="resnet34", student="resnet18", epochs=200, rate=0.1)
# Networks by the least side of the images; `epochs` are the teacher's, `rate`
# is the student's learning rate.
SIZED_NETWORKS = {
  0: RESNETS,
  48: dict(
    RESNETS, teacher="torchvision_resnet18", student="resnet8_16", epochs=30
  ),
  128: dict(
    RESNETS,
    teacher="torchvision_resnet50",
    student="torchvision_resnet18",
    epochs=90,
  ),
}


def get_config(argument: str = ""):
  args = c.arguments(
    argument,
    dataset="mnist_5k",
    adi=False,
    datafree=False,
    deepdream=False,
    image_size="0",
  )
  adi, datafree = args["adi"], args["datafree"]
  name, size = args["dataset"], c.number(args, "image_size")
  original = c.lookup_sized(args, ORIGINAL, SIZED)
  recipe = dict(c.lookup(DATAFREE, name) if datafree else original)
  small = name == "mnist_5k" and not size
  if args["smoke"]:
    recipe.update(SMOKE)
  weights = {
    "classification": 1.0,
    "batch_norm": recipe.pop("batch_norm", 10.0),
    "total_variation": recipe.pop("total_variation"),
    "norm": recipe.pop("norm_weight", 0.0),
    "competition": adi * (1.0 if datafree else 0.2),
  }
  if args["deepdream"]:
    weights["batch_norm"] = 0.0
  if not (adi or datafree):
    recipe["student_steps"] = 0
  by_name = dict.fromkeys(ORIGINAL, RESNETS) | {"mnist_5k": CNNS}
  networks = c.lookup_sized(args, by_name, SIZED_NETWORKS)
  views = ("resized_crop", "flip") if size >= 48 else views_of(name)
  sgd = c.optimizer("sgd", networks["rate"], "cosine", weight_decay=1e-4)
  epochs = 0 if adi or datafree else 40 if 48 <= size < 128 else 200
  return c.experiment(
    "deepinversion",
    args,
    image_size=size,
    teacher={
      "model": networks["teacher"],
      "epochs": networks["epochs"],
      "batch_size": 128,
      "augment": () if small else views,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
    },
    student={
      "model": networks["student"],
      "epochs": 20 if small else epochs,
      "batch_size": 64 if small else 256,
      "augment": views,
      "optimizer": sgd,
      "round_optimizer": sgd,
    },
    synthesis={
      "betas": (0.5, 0.99) if datafree else (0.9, 0.999),
      "jitter": 4 if datafree else 2,
      "mirror": datafree and name != "svhn_cropped",
      "clip": datafree,
      "variation": "absolute" if datafree else "frobenius",
      "competition": "plain" if datafree else "clipped",
      "weights": weights,
      "student_batch_size": 64 if small else 256,
      "views": views,
      **recipe,
    },
    hyper={"temperature": 20.0, "alpha": 1.0},
  )


def views_of(dataset: str) -> tuple[str, ...]:
  """How the student is shown images: digits have no mirror images."""
  if dataset in ("cifar10", "cifar100", "tiny_imagenet", "imagenet12"):
    return ("crop", "flip")
  return () if dataset == "mnist_5k" else ("crop",)
