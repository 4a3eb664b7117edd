"""Image files as other programs write them: turned, transparent, 16 bits."""

from collections.abc import Iterator
import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from jaxkd.data.pixels import (
  Background,
  fit,
  has_alpha,
  sixteen_to_eight_bit,
  to_eight_bit,
)
from jaxkd.types import JaxkdError

SUFFIXES = (
  ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
  ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
GREY_MODES = ("1", "L", "LA", "La", "F")
_SIXTEEN_BITS = "with 16 bits are scaled to 8, divided by 257"
_TWELVE_BITS = (
  "with 16 bits have no pixel above 4,095, as cameras with 12 bits write them: "
  "divided by 257 they are nearly black; multiply their pixels by 16"
)
_ORIENTATION = 0x0112  # the tag of EXIF
_TURNED = range(5, 9)  # orientations that exchange height and width
Shape = tuple[int, int, int]


def is_image_file(path: Path) -> bool:
  """Returns whether a file is an image by its name, and not hidden."""
  return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_special(path: Path) -> bool:
  """Returns whether a path is a pipe, a socket or a device, or leads to one."""
  return path.exists() and not path.is_file() and not path.is_dir()


def shape_of(path: Path, content: bytes | None = None) -> Shape:
  """Returns height, width and channels (1 to 4) by the header of a file.

  The second or fourth channel is alpha.

  Args:
    path: of the file.
    content: as in `open_image`.

  Raises:
    JaxkdError: naming the file, if it is no image.
  """
  with open_image(path, content) as picture:
    width, height = _stored_size(picture)
    if _orientation(picture) in _TURNED:
      height, width = width, height
    grey = picture.mode in GREY_MODES or picture.mode.startswith("I")
    return height, width, (1 if grey else 3) + has_alpha(picture)


def read(
  path: Path,
  shape: Shape,
  background: Background,
  content: bytes | None = None,
) -> tuple[np.ndarray, str]:
  """Reads an image and converts it to a shape, uint8 `[H, W, C]`.

  Args:
    path: of the file.
    shape: as in `jaxkd.data.pixels.fit`.
    background: as in `jaxkd.data.pixels.fit`.
    content: as in `open_image`.

  Returns:
    The pixels, and what was done to them apart from the shape; empty as a rule.

  Raises:
    JaxkdError: naming the file, if it is damaged, if it has pixels whose range
      is not known, or if it is transparent and no background was named.
  """
  with open_image(path, content) as opened:
    deep = is_sixteen_bit(opened)
    pixels = fit(upright(opened, path), shape, background, str(path))
    return pixels, sixteen_bits_note(pixels) if deep else ""


def sixteen_bits_note(pixels: np.ndarray) -> str:
  """Says what was done to images with 16 bits.

  Args:
    pixels: uint8, after they were scaled.
  """
  return _TWELVE_BITS if 0 < pixels.max() <= 16 else _SIXTEEN_BITS


def read_cut(path: Path, shape: Shape, background: Background) -> np.ndarray:
  """Reads an image of which as much is left as a shape's aspect ratio allows.

  It is cut about its middle and resized.

  Args:
    path: of the file.
    shape: as in `read`.
    background: as in `read`.

  Raises:
    JaxkdError: as `read`.
  """
  height, width, _ = shape
  with open_image(path) as opened:
    picture = upright(opened, path)
    wide = picture.width * height > picture.height * width
    side = (
      (picture.height * width / height, picture.height)
      if wide
      else (picture.width, picture.width * height / width)
    )
    # Whole pixels, and the same side wherever the corner lies.
    width, height = (max(round(length), 1) for length in side)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    cut = picture.crop((left, top, left + width, top + height))
    return fit(cut, shape, background, str(path))


@contextlib.contextmanager
def open_image(
  path: Path, content: bytes | None = None
) -> Iterator[Image.Image]:
  """Opens an image; an error of the decoder becomes one that names the file.

  Args:
    path: of the file. A pipe or device, which may never end, is not opened.
    content: what stands in the file; None reads it.
  """
  if content is None and is_special(path):
    raise JaxkdError(f"{path} is a pipe or device; put an image in its place.")
  try:
    source = path if content is None else io.BytesIO(content)
    with Image.open(source) as picture:
      yield picture
  except JaxkdError:
    raise
  except Exception as error:  # every decoder of Pillow raises other types
    raise JaxkdError(
      f"{path} cannot be read as an image ({type(error).__name__}: {error}); "
      "replace it, or delete it."
    ) from error


def upright(picture: Image.Image, path: Path) -> Image.Image:
  """Turns an image as its EXIF orientation says, and converts it to 8 bits.

  Args:
    picture: as it was opened.
    path: of the file, for messages.

  Raises:
    JaxkdError: if the range of its pixels is not known.
  """
  picture.load()
  try:
    turned = ImageOps.exif_transpose(picture)
  except Exception:  # damaged EXIF, which says nothing about the pixels
    turned = picture
  if not turned.mode.startswith(("I", "F")):
    return turned
  pixels = np.asarray(turned)
  if turned.mode == "F" and 0 <= pixels.min() <= pixels.max() <= 1:
    return Image.fromarray(to_eight_bit(pixels))
  if not is_sixteen_bit(picture):
    raise JaxkdError(
      f"{path} has {pixels.dtype} pixels from {pixels.min():g} to "
      f"{pixels.max():g}; save it with 8 or 16 bits, or with floats in [0, 1]."
    )
  return Image.fromarray(sixteen_to_eight_bit(pixels))


def is_sixteen_bit(picture: Image.Image) -> bool:
  """Returns whether a file has 16 bits for every channel.

  Pillow converts colours to 8 bits itself, and knows the depth before it has
  loaded them.
  """
  if picture.mode.startswith("I"):
    # A 16-bit PNG or PGM was I in earlier versions of Pillow.
    return picture.mode != "I" or picture.format in ("PNG", "PPM")
  arguments = [tile[3] for tile in getattr(picture, "tile", ())]
  return any(";16" in str(each) or "65535" in str(each) for each in arguments)


def _stored_size(picture: Image.Image) -> tuple[int, int]:
  """Returns width and height as they are stored, before any turn."""
  if isinstance(picture, TiffImageFile):  # its `size` may be turned already
    tags = picture.tag_v2
    return tags[IMAGEWIDTH], tags[IMAGELENGTH]
  return picture.size


def _orientation(picture: Image.Image) -> int:
  """Returns the orientation in a header: 1 is upright."""
  # getexif() decodes a PNG that has none in its header.
  if picture.format == "PNG" and "exif" not in picture.info:
    return 1
  try:
    return picture.getexif().get(_ORIENTATION, 1)
  except Exception:  # as in `upright`
    return 1
