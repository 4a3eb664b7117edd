"""Knowledge distillation on real images, from a normal or a nasty teacher.

  python -m jaxkd.main --config=configs/kd.py
  python -m jaxkd.main --config=configs/kd.py:defense=nasty
  python -m jaxkd.main --config=configs/kd.py:dataset=cifar10,student=cnn
  python -m jaxkd.main --config=configs/kd.py:fraction=0.1
  python -m jaxkd.main --config=configs/kd.py:labels=teacher
  python -m jaxkd.main --config=configs/kd.py:smoke

`defense` is `nasty`, `nasty_early_stop` or `scm`; `fraction` of the training
images is what the student has, with their labels or the teacher's. Teachers and
students are trained as in Nasty Teacher's code, which the HTC and SCM paper
builds on: SGD for residual networks, Adam for the plain CNN, batches of 128.
The MNISTs and SVHN, which neither paper has, take CIFAR-10's recipe, digits
without its mirror images. A tenth of the training images is held out from the
students, to choose a grid's point by.
`mnist_5k` is ours for two CPU cores.
"""

from jaxkd import config as c

# dataset: teacher, student, image size, epochs, milestones and factor of SGD,
# omega and temperature of the nasty teacher, temperature of the student
RECIPES = {
  "mnist_5k": ("lenet5", "lenet5_half", 32, 25, (), 1.0, 0.01, 4.0, 4.0),
  **dict.fromkeys(
    ("mnist", "fashion_mnist", "svhn_cropped", "cifar10"),
    ("resnet18", "cnn", 0, 160, (80, 120), 0.1, 0.04, 4.0, 4.0),
  ),
  "cifar100": (
    "resnet18", "cnn", 0, 200, (60, 120, 160), 0.2, 0.005, 20.0, 20.0,
  ),
}  # fmt: skip
PLAIN_EPOCHS = 100  # of the plain CNN, with Adam


def get_config(argument: str = ""):
  found = c.arguments(
    argument, dataset="mnist_5k", defense="", fraction="1", labels="truth"
  )
  (
    teacher, student, image_size, epochs, milestones, factor, omega, nasty_t,
    temperature,
  ) = c.of(RECIPES, found["dataset"])  # fmt: skip
  student = found.get("student", student)
  small = found["dataset"] == "mnist_5k"
  digits = found["dataset"] in ("mnist", "svhn_cropped")
  views = () if small else ("crop",) if digits else ("crop", "flip")
  sgd = c.optimizer(
    "sgd", 0.1, "multistep", weight_decay=5e-4, milestones=milestones,
    factor=factor,
  )  # fmt: skip
  adam = c.optimizer("adam", 1e-3)
  if small:
    sgd = adam = c.optimizer("adam", 2e-3, "cosine")
  plain = student.removeprefix("skeptical_") == "cnn" and not small
  return c.experiment(
    "kd",
    found,
    image_size=image_size,
    teacher={
      "model": teacher,
      "epochs": epochs,
      "batch_size": 64 if small else 128,
      "augment": views,
      "optimizer": sgd,
      "defense": c.defense(
        name=found["defense"], omega=omega, temperature=nasty_t
      ),
    },
    student={
      "model": student,
      "epochs": PLAIN_EPOCHS if plain else epochs,
      "batch_size": 64 if small else 128,
      "augment": views,
      "holdout": 0.1,
      "optimizer": adam if plain else sgd,
    },
    synthesis={
      "fraction": float(found["fraction"]),
      "source": "train",
      "labels": found["labels"],
      "answers": "per_view",
    },
    hyper={"temperature": temperature, "alpha": 0.9},
  )
