"""Loads named data sets from disk into host memory."""

from collections import Counter
import os
from pathlib import Path

import numpy as np

from jaxkd.data import tfds_info, tfds_sets
from jaxkd.data.array_cache import cached, fingerprint
from jaxkd.data.embedded import EMBEDDED
from jaxkd.data.pixels import Background, fit, to_picture
from jaxkd.data.prepared import data_root, prepared_dir, split_sizes
from jaxkd.data.registry import Arrays, Dataset, dataset_info, spec
from jaxkd.types import DataSpec, JaxkdError


def load(
  name: str,
  *,
  image_size: int = 0,
  data_dir: str | os.PathLike | None = None,
) -> Dataset:
  """Loads a data set from disk, without a network connection.

  Full sets are decoded through TFDS once and cached as plain arrays in
  `$JAXKD_CACHE` (default `~/.cache/jaxkd`), which may be deleted at any time.

  Args:
    name: one of `names()`.
    image_size: side of the square images in pixels, 0 for the native size.
      Resizing is bilinear with antialiasing on 8-bit images, as in
      torchvision's Resize on PIL images.
    data_dir: TFDS folder; None is `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

  Returns:
    The set, with images uint8 `[N, H, W, C]` (float32 points for `two_moons`).

  Raises:
    JaxkdError: if the name is unknown, the size is not possible, or the set is
      not prepared or damaged.
  """
  target = spec(name, image_size)
  native = dataset_info(name).spec
  if name in EMBEDDED:
    return Dataset(target, *_resized(EMBEDDED[name](), native, target))
  folder = prepared_dir(name, data_dir)
  if folder is None:
    raise _not_prepared(name, data_root(data_dir))
  digest = fingerprint(folder)
  read = lambda: cached(
    f"{name}-{native.shape[0]}-{digest}", lambda: _read(folder, native)
  )
  if target == native:
    return Dataset(target, *read())
  return Dataset(
    target,
    *cached(
      f"{name}-{target.shape[0]}-{digest}",
      lambda: _resized(read(), native, target),
    ),
  )


def train_size(name: str) -> int:
  """Returns the number of train images of a data set; see `count_images`."""
  return count_images(name)[0]


def count_images(name: str) -> tuple[int, int]:
  """Returns the numbers of train and test images, without reading any.

  Raises:
    JaxkdError: if the name is unknown, or if the numbers depend on the user's
      files and these are not prepared.
  """
  info = dataset_info(name)
  folder = prepared_dir(name, None) if info.version else None
  if folder is not None:
    counts = split_sizes(folder)
    return counts.get("train", 0), counts.get("test", 0)
  if not info.train_size:
    raise _not_prepared(name, data_root())
  return info.train_size, info.test_size


def _not_prepared(name: str, root: Path) -> JaxkdError:
  source = "[--from=FOLDER]" if dataset_info(name).urls else "--from=FOLDER"
  return JaxkdError(
    f"{name} is not prepared in {root}.\n"
    f"Run python -m jaxkd.data prepare {name} {source}"
  )


def _resized(arrays: Arrays, native: DataSpec, target: DataSpec) -> Arrays:
  if target == native:
    return arrays
  train_images, train_labels, test_images, test_labels = arrays
  return (
    _resize(train_images, target.shape),
    train_labels,
    _resize(test_images, target.shape),
    test_labels,
  )


def _resize(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
  """Resizes uint8 images `[N, H, W, C]` to `[N, *shape]`."""
  out = np.empty((len(images), *shape), np.uint8)
  for i, image in enumerate(images):
    out[i] = fit(to_picture(image), shape)
  return out


def _read(folder: Path, native: DataSpec) -> Arrays:
  """Decodes a prepared set of this package."""
  prepared = tfds_info.read_info(folder)
  arrays, background = [], Background()
  for part in (prepared.train, prepared.test):
    arrays += tfds_sets.read_part(
      prepared, part, native.shape, background, Counter()
    )
  return tuple(arrays)
