"""Pixels as floats and as 8 bits, as PNG files, and at another size."""

import io

import numpy as np
from PIL import Image

from jaxkd.types import Array

MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels


def to_float(images: Array) -> Array:
  """Pixels as float32 in [0, 1]; what is float already passes unchanged.

  Example:
    >>> to_float(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
  """
  if images.dtype == np.uint8:
    return images.astype(np.float32) / np.float32(255)
  return images


def to_eight_bit(images: Array) -> Array:
  """Pixels in [0, 1] as the nearest of 256 levels, uint8; what is uint8 already
  passes unchanged.

  Example:
    >>> to_eight_bit(np.array([-1, 0.5, 2], np.float32)).tolist()
    [0, 128, 255]
  """
  if images.dtype == np.uint8:
    return images
  return (images.clip(0, 1) * 255).round().astype(np.uint8)


def to_picture(image: np.ndarray) -> Image.Image:
  """Pillow's form of uint8 `[H, W, C]`, with 1 or 3 channels."""
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_png(image: np.ndarray) -> bytes:
  """The bytes of a PNG file of uint8 `[H, W, C]`, with 1 or 3 channels."""
  file = io.BytesIO()
  to_picture(image).save(file, format="png")
  return file.getvalue()


def fit(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
  """A picture of 8 bits as uint8 `[H, W, C]`, in grey or colour and at the size
  that `shape` asks for; bilinear with antialiasing where the size differs.
  """
  if "transparency" in picture.info:  # convert() does not take it in all forms
    picture = picture.convert("RGBA")
  height, width, channels = shape
  picture = picture.convert(MODES[channels])
  if picture.size != (width, height):
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(picture).reshape(shape)
