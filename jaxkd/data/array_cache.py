"""Decoded data sets are kept as plain arrays in the user's cache."""

from collections.abc import Callable
import hashlib
from pathlib import Path
import shutil

from absl import logging
import numpy as np

from jaxkd.data.registry import Arrays
from jaxkd.runtime import run_folder
from jaxkd.runtime.files import atomic_folder
from jaxkd.types import JaxkdError

_ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def fingerprint(folder: Path) -> str:
  """Returns a hash that changes when the prepared set is replaced or edited."""
  digest = hashlib.sha256(str(folder.resolve()).encode())
  for path in sorted(folder.iterdir()):
    stat = path.stat()
    digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
  return digest.hexdigest()[:16]


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
  """Reads arrays from the cache, or makes them and writes them to it.

  Args:
    key: name of a folder in the cache; it says all that the arrays depend on.
    make: returns the arrays.
  """
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
