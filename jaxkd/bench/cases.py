"""The cases of the benchmark: networks, data and sizes, by name."""

from typing import NamedTuple

import jax

from jaxkd import models
from jaxkd.config import checks
from jaxkd.data import spec as data_spec
from jaxkd.types import Classifier, DataSpec

DTYPES = ("float32", "bfloat16")
TEACHER, STUDENT = 1, 2  # seeds


class Size(NamedTuple):
  """The size of the work that is measured.

  Attributes:
    sets: M, the number of sets in all rounds.
    set_size: N, the number of images in a set.
    steps: T, the number of updates of an image.
    samples: the number of images in the student's epoch.
    batch_size: the student's batch size.
    epochs: the number of the student's epochs in an end-to-end run.
  """

  sets: int
  set_size: int
  steps: int
  samples: int
  batch_size: int
  epochs: int

  @property
  def image_steps(self) -> int:
    """The number of updates of all images together."""
    return self.sets * self.set_size * self.steps


class Case(NamedTuple):
  """A run of CAKE with given networks.

  Attributes:
    name: the case's name.
    spec: the shape and classes of the images.
    teacher: the name of the teacher's network.
    student: the name of the student's network.
    published: the size of CAKE's released experiments.
    sizes: the sizes that are measured, by name.
  """

  name: str
  spec: DataSpec
  teacher: str
  student: str
  published: Size
  sizes: dict[str, Size]

  def share(self, size: Size) -> float:
    """Returns a size's image-steps as a share of the published ones."""
    return size.image_steps / self.published.image_steps


_MNIST = data_spec("mnist", image_size=32)
_CIFAR = data_spec("cifar10")
_DIGITS = Size(512, 500, 256, 256_000, 256, 30)
_COLOUR = Size(500, 500, 256, 250_000, 256, 30)

# The small sizes have enough steps for the costs of each dispatch, such as the
# allocation of memory, to be as small a part as in a run.
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
  """Returns the case of a name.

  Raises:
    JaxkdError: if there is no such case.
  """
  checks.choice("case", name, CASES)
  return CASES[name]


def network(name: str, spec: DataSpec, seed: int) -> Classifier:
  """Initialises the network `name` with random weights."""
  return models.init(name, jax.random.key(seed), spec)
