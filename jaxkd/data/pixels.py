"""Conversions of images: float and 8-bit pixels, PNG, resizing."""

import io

import numpy as np
from PIL import Image

from jaxkd.types import Array

MODES = {1: "L", 3: "RGB"}  # Pillow's modes by number of channels


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


def to_picture(image: np.ndarray) -> Image.Image:
  """Converts uint8 `[H, W, C]` with 1 or 3 channels to a Pillow image."""
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_png(image: np.ndarray) -> bytes:
  """Encodes uint8 `[H, W, C]` with 1 or 3 channels as the bytes of a PNG."""
  file = io.BytesIO()
  to_picture(image).save(file, format="png")
  return file.getvalue()


def fit(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
  """Converts an 8-bit Pillow image to uint8 of the given shape.

  Colours are converted to or from grey; another size is resized bilinearly with
  antialiasing.

  Args:
    picture: the Pillow image.
    shape: `(H, W, C)` with 1 or 3 channels.
  """
  if "transparency" in picture.info:  # convert() does not support all its forms
    picture = picture.convert("RGBA")
  height, width, channels = shape
  picture = picture.convert(MODES[channels])
  if picture.size != (width, height):
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(picture).reshape(shape)
