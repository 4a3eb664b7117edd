"""Arrays of images in IDX and .npz files, of which headers are read first."""

from collections.abc import Callable, Iterator
import contextlib
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.parsers import read_idx, read_idx_shape
from jaxkd.types import JaxkdError

CHANNELS = (1, 3)  # grey and colour


class ImageArray(NamedTuple):
  """Images that a file stores as one array.

  Attributes:
    path: of the file.
    shape: `(N, H, W, C)`.
    load: reads the array, with or without the axis C.
  """

  path: Path
  shape: tuple[int, ...]
  load: Callable[[], np.ndarray]

  def read(self) -> np.ndarray:
    """Reads the images as uint8 `[N, H, W, C]`.

    Raises:
      JaxkdError: if the array is damaged, or if floats are not in [0, 1].
    """
    return _to_eight_bit(self.load().reshape(self.shape), self.path)


def idx_images(path: Path) -> ImageArray:
  """Reads the header of an IDX file of images.

  Raises:
    JaxkdError: if the file is damaged, or if these are no images.
  """
  load = functools.partial(read_idx, path)
  return _checked(path, read_idx_shape(path), np.dtype(np.uint8), load)


def npz_images(path: Path, file: np.lib.npyio.NpzFile, name: str) -> ImageArray:
  """Reads the header of an array of images in an archive.

  Args:
    path: of the archive.
    file: the archive, from `open_npz`.
    name: of the array.

  Raises:
    JaxkdError: if these are no images.
    ValueError: if these are no plain numbers.
  """
  with file.zip.open(f"{name}.npy") as member:
    version = np.lib.format.read_magic(member)
    # Version 3 differs from 2 in the names of fields, which images don't have.
    if version == (1, 0):
      shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
      shape, _, dtype = np.lib.format.read_array_header_2_0(member)
  if dtype.hasobject:
    raise ValueError(f"{name} holds Python objects")
  load = functools.partial(_load_npz_array, path, name)
  return _checked(path, shape, dtype, load)


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
  """Opens an archive of arrays.

  Raises:
    JaxkdError: if it is damaged or holds other objects; it names the file.
  """
  try:
    # NumPy would leave a file open that is no archive.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
      yield file
  except JaxkdError:
    raise
  except Exception as error:  # zipfile, zlib and NumPy raise many types
    raise JaxkdError(
      f"{path} is damaged, or holds more than plain arrays "
      f"({type(error).__name__}: {error}); write it with np.savez."
    ) from error


def _load_npz_array(path: Path, name: str) -> np.ndarray:
  with open_npz(path) as file:
    return file[name]


def _checked(
  path: Path,
  shape: tuple[int, ...],
  dtype: np.dtype,
  load: Callable[[], np.ndarray],
) -> ImageArray:
  """Checks that a header is one of images."""
  if len(shape) == 3:
    shape = (*shape, 1)
  if len(shape) != 4 or 0 in shape[1:]:
    raise JaxkdError(
      f"{path} has images of shape {shape}; expected [N, H, W] or [N, H, W, C]."
    )
  if shape[1] in CHANNELS and shape[-1] not in CHANNELS:
    raise JaxkdError(
      f"{path} has images of shape {shape} with channels first; store "
      "images.transpose(0, 2, 3, 1)."
    )
  if dtype != np.uint8 and dtype.kind != "f":
    raise JaxkdError(
      f"{path} has {dtype} pixels; expected uint8, or floats in [0, 1]."
    )
  return ImageArray(path, shape, load)


def _to_eight_bit(images: np.ndarray, path: Path) -> np.ndarray:
  if images.dtype == np.uint8:
    return images
  low, high = images.min(initial=0), images.max(initial=0)
  if not 0 <= low <= high <= 1:  # false for NaN too
    raise JaxkdError(
      f"{path} has pixels from {low:g} to {high:g}; expected [0, 1]. Divide by "
      "255, or undo a normalisation: the teacher normalises images itself."
    )
  return np.round(images * 255).astype(np.uint8)
