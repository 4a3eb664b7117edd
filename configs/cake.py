"""CAKE: a LeNet-5 copied into half a LeNet-5 without its data.

  python -m jaxkd.main --config=configs/cake.py
  python -m jaxkd.main --config=configs/cake.py:dataset=fashion_mnist
  python -m jaxkd.main --config=configs/cake.py:dataset=two_moons
  python -m jaxkd.main --config=configs/cake.py:smoke

`mnist_5k` is our recipe, sized for two CPU cores. All other image sets have
the published sizes, steps and weights (those of the released code); the
published step sizes and weights of the toy hardly move a point, so it has ours.
"""

from jaxkd import config as c

LENETS = dict(teacher="lenet5", student="lenet5_half", peak=0.1, augment=())
RESNETS = dict(
  teacher="resnet34", student="resnet18", peak=0.5, augment=("crop", "flip")
)
# By data set; `peak` is the learning rate of both, `augment` the teacher's.
NETWORKS = {
  "two_moons": dict(teacher="mlp", student="mlp", peak=0.1, augment=()),
  "mnist_5k": LENETS,
  "mnist": LENETS,
  "fashion_mnist": LENETS,
  "svhn_cropped": dict(RESNETS, augment=("crop",)),
  "cifar10": RESNETS,
  "cifar100": RESNETS,
}

PUBLISHED = dict(
  num_sets=512,
  set_size=500,
  group_size=10,
  num_steps=256,
  step_size=0.1,
  step_size_decades=4.0,
)
GREY = dict(
  PUBLISHED,
  weights=dict(classification=1e3, contrast=1e-3, total_variation=1e7),
)
COLOR = dict(
  PUBLISHED,
  weights=dict(classification=1e3, contrast=10.0, total_variation=1e5),
)
# By data set: fields of `synthesis`.
SYNTHESIS = {
  "two_moons": dict(
    num_sets=40,
    set_size=100,
    group_size=2,
    num_steps=100,
    step_size=0.1,
    step_size_decades=2.0,
    weights=dict(classification=50.0, contrast=5.0, total_variation=0.0),
  ),
  "mnist_5k": dict(
    num_sets=150,
    set_size=500,
    group_size=10,
    num_steps=24,
    step_size=0.1,
    step_size_decades=1.3,
    weights=dict(classification=1e3, contrast=10.0, total_variation=1e5),
  ),
  "mnist": GREY,
  "fashion_mnist": GREY,
  "svhn_cropped": COLOR,
  "cifar10": dict(COLOR, num_sets=500),
  "cifar100": dict(COLOR, num_sets=500),
}


def get_config(argument: str = ""):
  args = c.arguments(argument, dataset="mnist_5k")
  networks = c.lookup(NETWORKS, args["dataset"])
  small = args["dataset"] == "mnist_5k"
  sgd = c.optimizer("sgd", networks["peak"], "one_cycle", weight_decay=5e-4)
  return c.experiment(
    "cake",
    args,
    image_size=0 if args["dataset"] == "two_moons" else 32,
    teacher={
      "model": networks["teacher"],
      "epochs": 30,
      "batch_size": 128 if small else 256,
      "augment": networks["augment"],
      "optimizer": sgd,
    },
    student={
      "model": networks["student"],
      "epochs": 14 if small else 30,
      "batch_size": 64 if small else 256,
      "optimizer": sgd,
    },
    synthesis={
      **c.lookup(SYNTHESIS, args["dataset"]),
      "contrast": "groups",
      "dynamics": "sgd",
      "sets_per_round": 0,  # 0: chosen from the device
    },
  )
