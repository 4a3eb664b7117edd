"""What is measured: networks, shapes and sizes, by name."""

from typing import NamedTuple

import jax

from jaxkd import models
from jaxkd.config import checks
from jaxkd.data import spec as data_spec
from jaxkd.types import Classifier, DataSpec

DTYPES = ("float32", "bfloat16")
TEACHER, STUDENT = 1, 2  # seeds


class Size(NamedTuple):
  """Attributes:

  sets: M, of all rounds.
  set_size: N, images in a set.
  steps: T, updates of an image.
  samples: images in the student's epoch.
  batch_size: of the student.
  epochs: of the student, in the whole.
  """

  sets: int
  set_size: int
  steps: int
  samples: int
  batch_size: int
  epochs: int

  @property
  def image_steps(self) -> int:
    return self.sets * self.set_size * self.steps


class Case(NamedTuple):
  """CAKE with given networks.

  Attributes:
    name: of the case.
    spec: of the images.
    teacher: name of the network that images are made from.
    student: name of the network that learns from them.
    published: the size in CAKE's released experiments.
    sizes: what is measured, by name.
  """

  name: str
  spec: DataSpec
  teacher: str
  student: str
  published: Size
  sizes: dict[str, Size]

  def share(self, size: Size) -> float:
    """Of the published image-steps."""
    return size.image_steps / self.published.image_steps


_MNIST = data_spec("mnist", image_size=32)
_CIFAR = data_spec("cifar10")
_DIGITS = Size(512, 500, 256, 256_000, 256, 30)
_COLOUR = Size(500, 500, 256, 250_000, 256, 30)

# The small sizes still have enough steps for what comes once per dispatch, such
# as memory that the system hands out, to weigh as little as in a run.
CASES = {
  case.name: case
  for case in (
    Case(
      "lenet5", _MNIST, "lenet5", "lenet5_half", _DIGITS,
      {"full": _DIGITS, "small": Size(4, 500, 24, 12_800, 256, 2)},
    ),
    Case(
      "resnet18", _CIFAR, "resnet18", "resnet18", _COLOUR,
      {
        "full": Size(32, 500, 16, 51_200, 256, 1),
        "small": Size(2, 50, 8, 512, 64, 1),
      },
    ),
    Case(
      "resnet34", _CIFAR, "resnet34", "resnet18", _COLOUR,
      {
        "full": Size(32, 500, 16, 51_200, 256, 1),
        "small": Size(2, 20, 8, 512, 64, 1),
      },
    ),
    Case(
      "vit8", _CIFAR, "vit8", "vit4", _COLOUR,
      {
        "full": Size(64, 500, 16, 51_200, 256, 1),
        "small": Size(2, 50, 8, 512, 64, 1),
      },
    ),
  )
}  # fmt: skip


def find(name: str) -> Case:
  """The case of that name; an unknown name is a `JaxkdError`."""
  checks.choice("case", name, CASES)
  return CASES[name]


def network(name: str, spec: DataSpec, seed: int) -> Classifier:
  """The network `name` with random weights."""
  return models.init(name, jax.random.key(seed), spec)
