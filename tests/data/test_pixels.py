"""Conversions of images: float and 8-bit pixels, PNG, resizing."""

import io

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from jaxkd.data import pixels
from jaxkd.types import JaxkdError


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


def test_an_opaque_palette_needs_no_background():
  picture = Image.fromarray(random_image(4, 4, 3)).quantize(4)
  expected = np.asarray(picture.convert("RGB"))
  picture.info["transparency"] = bytes([255] * 4)
  np.testing.assert_array_equal(pixels.fit(picture, (4, 4, 3)), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_take_the_colour_of_the_background(mode, channels):
  picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))  # black under the alpha
  picture.putpixel((1, 2), (0, 0, 0, 255))
  picture = picture.quantize(2) if mode == "P" else picture.convert(mode)
  white = pixels.Background.named("--background", "#ffffff")
  converted = pixels.fit(picture, (4, 4, channels), white)
  expected = np.full((4, 4, channels), 255)
  expected[2, 1] = 0
  np.testing.assert_array_equal(converted, expected)
  with pytest.raises(JaxkdError, match=r"^a\.png has .*; say .*background=w"):
    pixels.fit(picture, (4, 4, channels), None, "a.png")


def test_a_background_is_a_colour():
  background = pixels.Background.named("--background", "rgb(1,2,3)")
  assert background.color == (1, 2, 3)
  with pytest.raises(JaxkdError, match="--background='snow1' is no colour"):
    pixels.Background.named("--background", "snow1")


@pytest.mark.parametrize("channels", [2, 4])
def test_a_network_may_take_alpha(channels):
  image = random_image(4, 6, channels)
  picture = pixels.to_picture(image)
  np.testing.assert_array_equal(pixels.fit(picture, image.shape), image)
  grey = pixels.fit(Image.new("L", (6, 4), 9), image.shape)
  assert (grey[..., -1] == 255).all() and (grey[..., 0] == 9).all()


def test_a_fourth_channel_that_is_no_alpha_is_resized_by_itself():
  image = random_image(8, 6, 4)
  image[..., 3] = 0
  resized = pixels.fit_array(image, (4, 3, 4))
  np.testing.assert_array_equal(
    resized[..., :3], pixels.fit_array(image[..., :3], (4, 3, 3))
  )
  assert not resized[..., 3].any()
