"""Loads named data sets from disk into host memory."""

from collections.abc import Callable, Sequence
import hashlib
import io
import os
from pathlib import Path
import shutil

from absl import logging
import numpy as np
from PIL import Image

from jaxkd.data.builder import data_root, prepared_dir
from jaxkd.data.embedded import EMBEDDED
from jaxkd.data.pixels import fit, to_picture
from jaxkd.data.registry import Arrays, Dataset, dataset_info, spec
from jaxkd.runtime import run_folder
from jaxkd.runtime.files import atomic_folder
from jaxkd.types import DataSpec, JaxkdError

_ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
_READ_BATCH_SIZE = 1000  # examples


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
    raise JaxkdError(
      f"{name} is not prepared in {data_root(data_dir)}.\n"
      f"Run python -m jaxkd.data prepare {name} [--from=FOLDER]"
    )
  fingerprint = _fingerprint(folder)
  read = lambda: _cached(
    f"{name}-{native.shape[0]}-{fingerprint}", lambda: _read(folder, native)
  )
  if target == native:
    return Dataset(target, *read())
  return Dataset(
    target,
    *_cached(
      f"{name}-{target.shape[0]}-{fingerprint}",
      lambda: _resized(read(), native, target),
    ),
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
  """Decodes a prepared TFDS set."""
  import tensorflow_datasets as tfds

  try:
    sources = tfds.builder_from_directory(folder).as_data_source(
      {"train": "train", "test": "test"},
      decoders={"image": tfds.decode.SkipDecoding()},
    )
    train, test = (_decode(sources[s], native) for s in ("train", "test"))
  except NotImplementedError as error:
    raise JaxkdError(
      f"{folder} is in a format that only TensorFlow reads. Prepare"
      f" {native.name} again in another folder:\n"
      f"python -m jaxkd.data prepare {native.name} --data_dir=FOLDER"
    ) from error
  except Exception as error:  # TFDS, array_record and Pillow raise many types
    raise JaxkdError(
      f"{folder} is damaged ({type(error).__name__}: {error}). Delete it, then"
      f" run python -m jaxkd.data prepare {native.name}"
    ) from error
  return (*train, *test)


def _decode(
  source: Sequence[dict], native: DataSpec
) -> tuple[np.ndarray, np.ndarray]:
  images = np.empty((len(source), *native.shape), np.uint8)
  labels = np.empty(len(source), np.int32)
  for start in range(0, len(source), _READ_BATCH_SIZE):
    rows = range(start, min(start + _READ_BATCH_SIZE, len(source)))
    # Reading one by one takes array_record five times as long.
    for i, example in zip(rows, source.__getitems__(rows), strict=True):
      with Image.open(io.BytesIO(example["image"])) as image:
        images[i] = np.asarray(image).reshape(native.shape)
      labels[i] = example["label"]
  return images, labels


def _fingerprint(folder: Path) -> str:
  """Returns a hash that changes when the prepared set is replaced or edited."""
  digest = hashlib.sha256(str(folder.resolve()).encode())
  for path in sorted(folder.iterdir()):
    stat = path.stat()
    digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
  return digest.hexdigest()[:16]


def _cached(key: str, make: Callable[[], Arrays]) -> Arrays:
  """Reads arrays from the cache, or makes them and writes them to it."""
  folder = run_folder.cache_dir(key)
  try:
    return tuple(np.load(folder / f"{name}.npy") for name in _ARRAY_NAMES)
  except (EOFError, OSError, ValueError):  # missing or cut short
    arrays = make()
  try:
    _write_cache(arrays, folder)
  except JaxkdError as error:
    logging.warning("The data set is not cached. %s", error)
  return arrays


def _write_cache(arrays: Arrays, folder: Path) -> None:
  """Writes a folder of the cache; readers see all four arrays or none."""
  shutil.rmtree(folder, ignore_errors=True)
  with atomic_folder(folder) as partial:
    for name, array in zip(_ARRAY_NAMES, arrays, strict=True):
      np.save(partial / f"{name}.npy", array)
