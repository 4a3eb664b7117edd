"""Conversions of images: float and 8-bit pixels, PNG, resizing."""

import io

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from jaxkd.data import pixels


def random_image(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_to_float_passes_floats_unchanged():
  points = np.array([[-2.0, 3.0]], np.float32)
  assert pixels.to_float(points) is points


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_pixels_round_to_the_nearest_level(convert):
  images = convert([-0.1, 0.0, 0.5 / 255, 1.6 / 255, 1.0, 1.2])
  converted = pixels.to_eight_bit(images)
  assert isinstance(converted, type(images))
  np.testing.assert_array_equal(converted, [0, 0, 0, 2, 255, 255])
  assert pixels.to_eight_bit(converted) is converted


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_every_level_is_the_same_after_conversion_to_float_and_back(convert):
  levels = convert(np.arange(256, dtype=np.uint8))
  converted = jax.jit(pixels.to_eight_bit)(pixels.to_float(levels))
  np.testing.assert_array_equal(converted, levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless(channels):
  image = random_image(5, 7, channels)
  with Image.open(io.BytesIO(pixels.to_png(image))) as picture:
    np.testing.assert_array_equal(pixels.fit(picture, image.shape), image)


def test_size_and_colours_are_converted_to_the_shape():
  image = random_image(8, 6, 3)
  converted = pixels.fit(pixels.to_picture(image), (4, 3, 1))
  expected = Image.fromarray(image).convert("L").resize((3, 4), Image.BILINEAR)
  np.testing.assert_array_equal(converted[..., 0], np.asarray(expected))


def test_transparency_is_ignored():
  picture = Image.fromarray(random_image(4, 4, 3)).quantize(4)
  expected = np.asarray(picture.convert("RGB"))
  picture.info["transparency"] = 0
  np.testing.assert_array_equal(pixels.fit(picture, (4, 4, 3)), expected)
