"""Knowledge distillation on real images, from a normal or a nasty teacher.

  python -m jaxkd.main --config=configs/kd.py
  python -m jaxkd.main --config=configs/kd.py:defense=nasty
  python -m jaxkd.main --config=configs/kd.py:dataset=cifar10,student=cnn
  python -m jaxkd.main --config=configs/kd.py:dataset=tiny_imagenet
  python -m jaxkd.main --config=configs/kd.py:fraction=0.1
  python -m jaxkd.main --config=configs/kd.py:labels=teacher
  python -m jaxkd.main --config=configs/kd.py:smoke

`defense` is `nasty`, `nasty_early_stop` or `scm`; `fraction` of the training
images is what the student has, with their labels or the teacher's. Teachers and
students are trained as in Nasty Teacher's code, which the HTC and SCM paper
builds on: SGD for residual networks, Adam for the plain CNN, batches of 128.
The MNISTs and SVHN, which neither paper has, take CIFAR-10's recipe, digits
without its mirror images. A tenth of the training images is held out from the
students, to choose a grid's point by. Networks without normalisation, which the
papers do not train, have a tenth of the rate.
`mnist_5k` is ours for two CPU cores.
"""

from jaxkd import config as c

PUBLISHED = dict(
  teacher="resnet18",
  student="cnn",
  image_size=0,
  epochs=160,
  milestones=(80, 120),
  factor=0.1,
  omega=0.04,
  temperature=4.0,
)
# By data set; `omega` is the nasty teacher's, `temperature` its and that of the
# student.
RECIPES = {
  "mnist_5k": dict(
    teacher="lenet5",
    student="lenet5_half",
    image_size=32,
    epochs=25,
    omega=0.01,
    temperature=4.0,
  ),
  "mnist": PUBLISHED,
  "fashion_mnist": PUBLISHED,
  "svhn_cropped": PUBLISHED,
  "cifar10": PUBLISHED,
  "cifar100": dict(
    PUBLISHED,
    epochs=200,
    milestones=(60, 120, 160),
    factor=0.2,
    omega=0.005,
    temperature=20.0,
  ),
  "tiny_imagenet": dict(
    PUBLISHED,
    student="mobilenet_v2",
    epochs=200,
    milestones=(60, 120, 160),
    factor=0.2,
    omega=0.01,
    temperature=20.0,
  ),
}
# How images are changed at random, where it is not by shifts and mirroring.
AUGMENTATIONS = {
  "mnist_5k": (),
  "mnist": ("crop",),
  "svhn_cropped": ("crop",),
  "tiny_imagenet": ("rotation", "flip"),
}
PLAIN_EPOCHS = 100  # of the plain CNN, with Adam
# Networks without normalisation diverge at the ResNets' rate of .1.
UNNORMALISED = ("lenet5", "zsdb3kd_lenet5", "mlp", "vit")


def get_config(argument: str = ""):
  args = c.arguments(
    argument, dataset="mnist_5k", defense="", fraction="1", labels="truth"
  )
  recipe = c.lookup(RECIPES, args["dataset"])
  teacher = args.get("teacher", recipe["teacher"])
  student = args.get("student", recipe["student"])
  small = args["dataset"] == "mnist_5k"
  views = AUGMENTATIONS.get(args["dataset"], ("crop", "flip"))
  plain = student.removeprefix("skeptical_") == "cnn" and not small
  return c.experiment(
    "kd",
    args,
    image_size=recipe["image_size"],
    teacher={
      "model": teacher,
      "epochs": recipe["epochs"],
      "batch_size": 64 if small else 128,
      "augment": views,
      "optimizer": optimizer_for(teacher, recipe),
      "defense": c.defense(
        name=args["defense"],
        omega=recipe["omega"],
        temperature=recipe["temperature"],
      ),
    },
    student={
      "model": student,
      "epochs": PLAIN_EPOCHS if plain else recipe["epochs"],
      "batch_size": 64 if small else 128,
      "augment": views,
      "validation_fraction": 0.1,
      "optimizer": c.optimizer("adam", 1e-3)
      if plain
      else optimizer_for(student, recipe),
    },
    synthesis={
      "fraction": c.number(args, "fraction", float),
      "source": "train",
      "labels": args["labels"],
      "answers": "per_view",
    },
    hyper={"temperature": recipe["temperature"], "alpha": 0.9},
  )


def optimizer_for(network: str, recipe: dict):
  """SGD with the rate that suits a network; Adam where the recipe is ours."""
  if "milestones" not in recipe:
    return c.optimizer("adam", 2e-3, "cosine")
  return c.optimizer(
    "sgd",
    0.01 if network.startswith(UNNORMALISED) else 0.1,
    "multistep",
    weight_decay=5e-4,
    milestones=recipe["milestones"],
    factor=recipe["factor"],
  )
