"""Conversions of images: float and 8-bit pixels, PNG, alpha, resizing."""

import io
from typing import NamedTuple, Self

import numpy as np
from PIL import Image, ImageColor

from jaxkd.types import Array, JaxkdError

# Pillow's modes by number of channels; the last of two or four is alpha.
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
PNG_CHANNELS = (1, 3)  # of images that others shall read as they are


class Background(NamedTuple):
  """The colour on which transparent images are put.

  Attributes:
    flag: the flag or field that names it, for messages.
    color: red, green and blue; None if it was not named.
  """

  flag: str = "--config.background"
  color: tuple[int, int, int] | None = None

  @classmethod
  def named(cls, flag: str, text: str) -> Self:
    """Parses a colour: `white`, `#ffffff` or `rgb(255,255,255)`.

    Args:
      flag: the flag or field that the text is from.
      text: the colour; empty for none.

    Raises:
      JaxkdError: if this is no colour.
    """
    try:
      return cls(flag, ImageColor.getrgb(text)[:3] if text else None)
    except ValueError:
      raise JaxkdError(
        f"{flag}={text!r} is no colour; choose a name such as white or black, "
        "or #rrggbb."
      ) from None

  def behind(self, picture: Image.Image, name: str) -> Image.Image:
    """Returns an RGBA image without its transparency, as RGB.

    Args:
      picture: the image.
      name: of the image, for messages.

    Raises:
      JaxkdError: if pixels are transparent, and no colour was named.
    """
    if picture.getextrema()[-1][0] == 255:
      return picture.convert("RGB")
    if self.color is None:
      raise JaxkdError(
        f"{name} has transparent pixels; say on which background images are "
        f"shown, for instance {self.flag}=white."
      )
    below = Image.new("RGBA", picture.size, (*self.color, 255))
    return Image.alpha_composite(below, picture).convert("RGB")


def to_float(images: Array) -> Array:
  """Converts uint8 pixels to float32 in [0, 1]; returns floats unchanged.

  Example:
    >>> to_float(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
  """
  if images.dtype == np.uint8:
    return images.astype(np.float32) / np.float32(255)
  return images


def to_eight_bit(images: Array) -> Array:
  """Rounds float pixels in [0, 1] to uint8; returns uint8 unchanged.

  Example:
    >>> to_eight_bit(np.array([-1, 0.5, 2], np.float32)).tolist()
    [0, 128, 255]
  """
  if images.dtype == np.uint8:
    return images
  return (images.clip(0, 1) * 255).round().astype(np.uint8)


def sixteen_to_eight_bit(pixels: np.ndarray) -> np.ndarray:
  """Scales pixels of 0 to 65,535 to 0 to 255, and rounds them.

  Example:
    >>> sixteen_to_eight_bit(np.array([0, 257, 65535])).tolist()
    [0, 1, 255]
  """
  return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_picture(image: np.ndarray) -> Image.Image:
  """Converts uint8 `[H, W, C]` with 1 to 4 channels to a Pillow image."""
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_png(image: np.ndarray) -> bytes:
  """Encodes uint8 `[H, W, C]` with 1 to 4 channels as the bytes of a PNG."""
  file = io.BytesIO()
  to_picture(image).save(file, format="png")
  return file.getvalue()


def has_alpha(picture: Image.Image) -> bool:
  """Returns whether a Pillow image may be transparent."""
  return picture.has_transparency_data or picture.mode in ("La", "RGBa")


def fit(
  picture: Image.Image,
  shape: tuple[int, int, int],
  background: Background | None = None,
  name: str = "An image",
) -> np.ndarray:
  """Converts an 8-bit Pillow image to uint8 of the given shape.

  Colours are converted to or from grey; another size is resized bilinearly with
  antialiasing.

  Args:
    picture: the Pillow image.
    shape: `(H, W, C)` with 1 to 4 channels; the last of 2 or 4 is alpha.
    background: on which transparent images are put, where C is 1 or 3.
    name: of the image, for messages.

  Raises:
    JaxkdError: if it has transparent pixels, and no background was named.
  """
  height, width, channels = shape
  if has_alpha(picture):
    picture = picture.convert("RGBA")
    if channels in (1, 3):
      picture = (background or Background()).behind(picture, name)
  picture = picture.convert(MODES[channels])
  if picture.size != (width, height):
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(picture).reshape(shape)


def fit_array(
  image: np.ndarray,
  shape: tuple[int, int, int],
  background: Background | None = None,
  name: str = "An image",
) -> np.ndarray:
  """Converts uint8 `[H, W, C]` as `fit` does.

  If there are as many channels as asked for, each is resized by itself, since
  a fourth one need not be alpha.

  Args:
    image: the image.
    shape: as in `fit`; any number of channels that the image has.
    background: as in `fit`.
    name: as in `fit`.

  Raises:
    JaxkdError: as `fit`.
  """
  if image.shape[-1] != shape[-1] or shape[-1] in (1, 3):
    return fit(to_picture(image), shape, background, name)
  size = (*shape[:2], 1)
  channels = [
    fit(Image.fromarray(image[..., c]), size) for c in range(shape[-1])
  ]
  return np.concatenate(channels, -1)
