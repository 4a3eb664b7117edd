"""DeepInversion: a classifier copied through what its layers remember of data.

  python -m jaxkd.main --config=configs/deepinversion.py
  python -m jaxkd.main --config=configs/deepinversion.py:adi
  python -m jaxkd.main --config=configs/deepinversion.py:adi,dataset=cifar10
  python -m jaxkd.main --config=configs/deepinversion.py:dataset=cifar10
  python -m jaxkd.main --config=configs/deepinversion.py:smoke

`adi` is Adaptive DeepInversion: the student competes with the teacher while
images are made. Images are optimised as in the authors' code for CIFAR-10, with
`datafree` as in DataFree's. How many there are, and how the student learns from
them, has not been released by the authors: that is ours, but for a new batch
every 50 updates in `adi`, which is the paper's. The teacher needs batch
normalisations: LeNet-5 has none. `mnist_5k` is our recipe for two CPU cores.
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
# By data set: fields of `synthesis`, and a weight in it.
ORIGINAL = {
  "mnist_5k": dict(
    num_rounds=12,
    batch_size=250,
    num_steps=60,
    step_size=0.1,
    total_variation=1e-3,
    student_steps=50,
  ),
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": PUBLISHED,
  "tiny_imagenet": PUBLISHED,
  "imagenet12": PUBLISHED,
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


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k", adi=False, datafree=False)
  adi, datafree = args["adi"], args["datafree"]
  name = args["dataset"]
  recipe = dict(c.lookup(DATAFREE if datafree else ORIGINAL, name))
  small = name == "mnist_5k"
  if args["smoke"]:
    recipe.update(SMOKE)
  total_variation = recipe.pop("total_variation")
  if not (adi or datafree):
    recipe["student_steps"] = 0
  teacher, student = (
    ("cnn_quarter", "cnn_quarter") if small else ("resnet34", "resnet18")
  )
  views = views_of(name)
  student_rate = 0.05 if small else 0.1
  return c.experiment(
    "deepinversion",
    args,
    teacher={
      "model": teacher,
      "epochs": 10 if small else 200,
      "batch_size": 128,
      "augment": () if small else views,
      "optimizer": c.optimizer("sgd", 0.1, "one_cycle", weight_decay=5e-4),
    },
    student={
      "model": student,
      "epochs": 20 if small else 0 if adi or datafree else 200,
      "batch_size": 64 if small else 256,
      "augment": views,
      "optimizer": c.optimizer(
        "sgd", student_rate, "cosine", weight_decay=1e-4
      ),
      "round_optimizer": c.optimizer(
        "sgd", student_rate, "cosine", weight_decay=1e-4
      ),
    },
    synthesis={
      **recipe,
      "betas": (0.5, 0.99) if datafree else (0.9, 0.999),
      "jitter": 4 if datafree else 2,
      "mirror": datafree and name != "svhn_cropped",
      "clip": datafree,
      "variation": "absolute" if datafree else "frobenius",
      "competition": "plain" if datafree else "clipped",
      "weights": {
        "classification": 1.0,
        "batch_norm": 10.0,
        "total_variation": total_variation,
        "norm": 0.0,
        "competition": adi * (1.0 if datafree else 0.2),
      },
      "student_batch_size": 64 if small else 256,
      "views": views,
    },
    hyper={"temperature": 20.0, "alpha": 1.0},
  )


def views_of(dataset: str) -> tuple[str, ...]:
  """How the student is shown images: digits have no mirror images."""
  if dataset in ("cifar10", "cifar100", "tiny_imagenet", "imagenet12"):
    return ("crop", "flip")
  return () if dataset == "mnist_5k" else ("crop",)
