"""Arrays of images in IDX and .npz files, of which headers are read first."""

from collections.abc import Callable, Iterator
import contextlib
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.parsers import read_idx, read_idx_shape
from jaxkd.data.pictures import sixteen_bits_note
from jaxkd.data.pixels import sixteen_to_eight_bit
from jaxkd.types import JaxkdError

CHANNELS = (1, 2, 3, 4)  # that tell the channels from other axes
BRIGHT = 128  # floats of 0 to 255 reach it, other floats hardly


class ImageArray(NamedTuple):
  """Images that a file stores as one array.

  Attributes:
    path: of the file.
    shape: `(N, H, W, C)`.
    load: reads the array, with or without the axis C.
    channels_first: whether it is stored as `(N, C, H, W)`.
  """

  path: Path
  shape: tuple[int, ...]
  load: Callable[[], np.ndarray]
  channels_first: bool = False

  def read(self) -> tuple[np.ndarray, str]:
    """Reads the images as uint8 `[N, H, W, C]`.

    Returns:
      The images, and what was done to their pixels; empty as a rule.

    Raises:
      JaxkdError: if the array is damaged, or if the range of its pixels is
        none that is known.
    """
    images = self.load()
    if self.channels_first:
      images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return _to_eight_bit(images.reshape(self.shape), self.path)


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
  if dtype.kind not in "buif":
    raise JaxkdError(
      f"{path} has {dtype} pixels; expected uint8, or floats in [0, 1]."
    )
  channels_first = shape[1] in CHANNELS and shape[-1] not in CHANNELS
  if channels_first:
    shape = (shape[0], *shape[2:], shape[1])
  return ImageArray(path, shape, load, channels_first)


def _to_eight_bit(images: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
  """Converts pixels to uint8, by the range of all of them."""
  low, high = images.min(initial=0), images.max(initial=0)
  floats = images.dtype.kind == "f"
  if floats and 0 <= low <= high <= 1:
    return np.round(images * 255).astype(np.uint8), ""
  if images.dtype.kind == "b" or (not floats and low == 0 and high == 1):
    note = "of zeros and ones are taken as black and white"
    return images.astype(np.uint8) * np.uint8(255), note
  if images.dtype == np.uint8:
    return images, ""
  if 0 <= low <= high <= 255 and (not floats or high >= BRIGHT):
    note = f"of type {images.dtype} are taken as pixels of 0 to 255"
    return np.round(images).astype(np.uint8), note
  if not floats and 0 <= low <= high <= 65_535:
    pixels = sixteen_to_eight_bit(images)
    return pixels, sixteen_bits_note(pixels)
  raise JaxkdError(
    f"{path} has pixels from {low:g} to {high:g}; expected [0, 1]. Divide by "
    "255, or undo a normalisation: the teacher normalises images itself."
  )
