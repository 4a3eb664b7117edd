"""CAKE: a LeNet-5 copied into half a LeNet-5 without its data.

  python -m jaxkd.main --config=configs/cake.py
  python -m jaxkd.main --config=configs/cake.py:dataset=fashion_mnist
  python -m jaxkd.main --config=configs/cake.py:dataset=mnist,recipe=published
  python -m jaxkd.main --config=configs/cake.py:dataset=two_moons
  python -m jaxkd.main --config=configs/cake.py:dataset=photos,image_size=64
  python -m jaxkd.main --config=configs/cake.py:smoke

`recipe=published` has the sizes, steps and weights of the released code, which
are those of one teacher. `recipe=ours` does not depend on the teacher's scale:
its logits are brought to one standard deviation, a step is so many pixels and
not so many gradients, images stay within [0, 1], and they start as procedural
images that the teacher takes for their class. On Fashion-MNIST these are
objects alone, and the student starts with weights of its teacher unless the
argument names networks (`student.start`). Points in the plane (`two_moons`,
`noisy_moons`, `blobs`, `circles`, `aniso`, `checkerboard`) have one recipe,
since the published step sizes and weights hardly move one, and the published
sizes of `mnist_5k` are cut for two CPU cores.

With `image_size`, the side of the images in pixels, `dataset` is any data, as a
folder of photos or `none`. From 48 pixels the networks have ImageNet's stem and
sets are smaller, since a large image takes more memory; from 128 the first
steps are at half the resolution. The 12,800 images of 224 pixels take 7 GiB.
"""

from jaxkd import config as c

LENETS = dict(
  teacher="lenet5", student="lenet5_half", peak=0.1, augment=(), batch_size=256
)
RESNETS = dict(
  teacher="resnet34",
  student="resnet18",
  peak=0.5,
  augment=("crop", "flip"),
  batch_size=256,
)
# For images of 48 pixels and more, and of 128 and more.
PHOTOS = dict(
  teacher="torchvision_resnet18",
  student="resnet8_16",
  peak=0.1,
  augment=("crop", "flip"),
  batch_size=64,
)
LARGE_PHOTOS = dict(
  PHOTOS,
  teacher="torchvision_resnet50",
  student="torchvision_resnet18",
  augment=("resized_crop", "flip"),
)
# By data set; `peak` is the learning rate of both, `augment` and `batch_size`
# are the teacher's, and `start` is the student's in `recipe=ours`, where the
# teacher's weights were tried.
NETWORKS = {
  **dict.fromkeys(c.POINTS, dict(LENETS, teacher="mlp", student="mlp")),
  "mnist_5k": dict(LENETS, batch_size=128),
  "mnist": LENETS,
  "fashion_mnist": dict(LENETS, start="teacher"),
  "svhn_cropped": dict(RESNETS, augment=("crop",)),
  "cifar10": RESNETS,
  "cifar100": RESNETS,
}
SIZED_NETWORKS = {0: RESNETS, 48: PHOTOS, 128: LARGE_PHOTOS}
# First letters of networks without batch normalisation, which diverge at the
# rate of the ResNets, and the largest peak of theirs.
PLAIN = ("lenet", "zsdb3kd", "mlp", "cake_cnn", "ideal", "dast")
PLAIN_PEAK = 0.1

PUBLISHED = dict(
  num_sets=512,
  set_size=500,
  group_size=0,  # 0: 10, or all classes where there are fewer
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
PLANE = dict(
  num_sets=40,
  set_size=100,
  group_size=2,
  num_steps=100,
  step_size=0.1,
  step_size_decades=2.0,
  weights=dict(classification=50.0, contrast=5.0, total_variation=0.0),
)
# By data set: fields of `synthesis` of the published recipe.
SYNTHESIS = {
  **dict.fromkeys(c.POINTS, PLANE),
  "mnist_5k": dict(COLOR, num_sets=150, num_steps=24, step_size_decades=1.3),
  "mnist": GREY,
  "fashion_mnist": GREY,
  "svhn_cropped": COLOR,
  "cifar10": dict(COLOR, num_sets=500),
  "cifar100": dict(COLOR, num_sets=500),
}
OURS = dict(
  COLOR,
  num_sets=128,
  num_steps=8,
  step_size=0.01,
  step_size_decades=1.0,
  start="matched",
  step_unit="pixel",
)
OBJECTS = dict(OURS, sources={"strokes": 0.0, "objects": 1.0})
OURS_OF = {
  **dict.fromkeys(SYNTHESIS, OURS),
  **dict.fromkeys(c.POINTS, PLANE),
  "fashion_mnist": OBJECTS,
}
SIZED_OURS = {
  0: OURS,
  48: dict(OURS, set_size=100),
  128: dict(OURS, num_sets=256, set_size=50, num_steps=12, coarse_steps=6),
}
LOGIT_STD = 2.5  # of the teacher's logits in `recipe=ours`


def get_config(argument: str = ""):
  args = c.arguments(
    argument, dataset="mnist_5k", recipe="ours", image_size="0"
  )
  networks = c.lookup_sized(args, NETWORKS, SIZED_NETWORKS)
  recipes = {
    "ours": c.lookup_sized(args, OURS_OF, SIZED_OURS),
    "published": c.lookup_sized(args, SYNTHESIS, {0: COLOR}),
  }
  recipe = c.lookup(recipes, args["recipe"], "recipe")
  points = args["dataset"] in c.POINTS
  ours = args["recipe"] == "ours" and not points
  teacher = args.get("teacher", networks["teacher"])
  student = args.get("student", networks["student"])
  if not ours:
    peak = networks["peak"]
    training = dict(
      epochs=30, batch_size=256, optimizer=optimizer(student, peak, 5e-4)
    )
  elif "start" in networks and not {"teacher", "student"} & set(args):
    # Large steps would leave the weights that were fitted.
    training = dict(
      start=networks["start"],
      epochs=4,
      batch_size=64,
      optimizer=optimizer(student, 0.01, 1e-3),
    )
  else:
    # The smaller batch needs a smaller rate.
    training = dict(
      epochs=20, batch_size=64, optimizer=optimizer(student, 0.04, 1e-3)
    )
  return c.experiment(
    "cake",
    args,
    image_size=c.number(args, "image_size") or (0 if points else 32),
    teacher={
      "model": teacher,
      "epochs": 30,
      "batch_size": networks["batch_size"],
      "augment": networks["augment"],
      "optimizer": optimizer(teacher, networks["peak"], 5e-4),
      "logit_std": LOGIT_STD if ours else 0.0,
    },
    student={"model": student, **training},
    synthesis={
      "contrast": "groups",
      "dynamics": "sgd",
      "sets_per_round": 0,  # 0: chosen from the device
      **recipe,
    },
  )


def optimizer(network: str, peak: float, weight_decay: float):
  """SGD with a one-cycle whose peak suits the network, or Adam for ViTs.

  With SGD a ViT-4 has hardly left chance after seven epochs of mnist_5k.
  """
  if network.startswith("vit"):
    return c.optimizer("adam", 1e-3, "one_cycle", weight_decay=weight_decay)
  rate = min(peak, PLAIN_PEAK) if network.startswith(PLAIN) else peak
  return c.optimizer("sgd", rate, "one_cycle", weight_decay=weight_decay)
