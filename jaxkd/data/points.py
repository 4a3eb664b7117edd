"""Points in the plane: the toy data of CAKE's poster and of its released code.

Train and test points are drawn with different seeds; in the released code the
two splits are identical, or are drawn without a seed. Both are standardised
with the train statistics.
"""

from collections.abc import Callable

import numpy as np

from jaxkd.data.registry import Arrays

# (seed) -> points [N, 2] and labels [N]
Draw = Callable[[int], tuple[np.ndarray, np.ndarray]]

_SMALL = 5_000  # points of `two_moons`
_SIZE = 10_000  # points of the others, as in the released code


def _two_moons(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Two interleaved half circles, as clean as those of the poster's figure."""
  from sklearn.datasets import make_moons  # seconds of import; only needed here

  return make_moons(_SMALL, noise=0.1, random_state=seed)


def _noisy_moons(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """The half circles of the released code, which overlap."""
  from sklearn.datasets import make_moons

  return make_moons(_SIZE, noise=0.3, random_state=seed)


def _blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Three round clusters at three corners of a square."""
  from sklearn.datasets import make_blobs

  return make_blobs(
    _SIZE,
    centers=[(0.0, 0.0), (0.5, 0.5), (0.5, 0.0)],
    cluster_std=0.05,
    random_state=seed,
  )


def _circles(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """A circle within another of twice the radius."""
  from sklearn.datasets import make_circles

  return make_circles(_SIZE, factor=0.5, noise=0.05, random_state=seed)


def _aniso(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Two clusters that a linear map has stretched."""
  from sklearn.datasets import make_blobs

  points, labels = make_blobs(
    _SIZE,
    centers=[(-1.0, 0.5), (0.5, 0.5)],
    cluster_std=0.5,
    random_state=seed,
  )
  return points @ np.array([(0.5, -0.2), (-0.2, 0.4)]), labels


def _checkerboard(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Nine clusters on a grid, whose neighbours are of the other class."""
  from sklearn.datasets import make_blobs

  centers = [(row, column) for row in range(3) for column in range(3)]
  points, cells = make_blobs(
    _SIZE, centers=centers, cluster_std=0.2, random_state=seed
  )
  return points, cells % 2


def _splits(draw: Draw) -> Callable[[], Arrays]:
  """Returns a function that draws train and test points, `[N, 2]` float32."""

  def load() -> Arrays:
    (train, train_labels), (test, test_labels) = draw(0), draw(1)
    mean, std = train.mean(axis=0), train.std(axis=0)
    return (
      ((train - mean) / std).astype(np.float32),
      train_labels.astype(np.int32),
      ((test - mean) / std).astype(np.float32),
      test_labels.astype(np.int32),
    )

  return load


POINTS = {
  "two_moons": _splits(_two_moons),
  "noisy_moons": _splits(_noisy_moons),
  "blobs": _splits(_blobs),
  "circles": _splits(_circles),
  "aniso": _splits(_aniso),
  "checkerboard": _splits(_checkerboard),
}
