"""Crops of one photograph, as many as are asked for.

Asano and Saeed, "The Augmented Image Prior: Distilling 1000 Classes by
Extrapolating from a Single Image", ICLR 2023, distil from crops of one image
under heavy augmentation. A crop here covers between 1 % and all of the
photograph (uniform in the logarithm), is rotated by up to 35 degrees, mirrored
at random, stretched by up to 4/3, and its brightness, contrast and colours are
changed. Where a rotated crop leaves the photograph, the border is repeated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.types import Array

CHUNK = 1024  # crops that are floats at once
MIN_AREA = 0.01
MAX_ANGLE = 35.0  # degrees
MAX_ASPECT = 4 / 3
MAX_BRIGHTNESS = 0.25  # added to pixels in [0, 1]
LOG_CONTRAST = 0.5  # largest, on both sides
LOG_COLOR = 0.25  # of a channel's factor, largest on both sides


class Pyramid(NamedTuple):
  """A photograph at sizes that halve, so that small crops are not aliased.

  Attributes:
    pixels: of all levels, row by row, `[P, C]` in [0, 1].
    offsets: where each level begins, `[L]`.
    heights: in pixels, `[L]`.
    widths: in pixels, `[L]`.
  """

  pixels: Array
  offsets: Array
  heights: Array
  widths: Array


def pyramid(photo: Array) -> Pyramid:
  """Halves a photograph `[H, W, C]` in [0, 1] while both sides are above 8."""
  levels = [photo]
  while min(levels[-1].shape[:2]) > 8:
    height, width, channels = levels[-1].shape
    half = (height // 2, width // 2, channels)
    even = levels[-1][: half[0] * 2, : half[1] * 2]
    blocks = even.reshape(half[0], 2, half[1], 2, channels)
    levels.append(blocks.mean((1, 3)))
  sizes = [level.shape[0] * level.shape[1] for level in levels]
  return Pyramid(
    jnp.concatenate([level.reshape(-1, level.shape[2]) for level in levels]),
    jnp.cumsum(jnp.array([0, *sizes]))[:-1],
    jnp.array([level.shape[0] for level in levels]),
    jnp.array([level.shape[1] for level in levels]),
  )


def crops(
  key: Array, photo: Array, count: int, shape: tuple[int, int, int]
) -> Array:
  """Draws crops of a photograph, uint8 `[count, *shape]`.

  Crop i depends on the key and on i alone.

  Args:
    key: random key.
    photo: uint8 `[H, W, C]`.
    count: number of crops.
    shape: of a crop, with as many channels as the photograph.
  """
  levels = pyramid(photo.astype(jnp.float32) / 255)

  def draw(index: Array) -> Array:
    crop = _crop(jax.random.fold_in(key, index), levels, shape)
    return (crop.clip(0, 1) * 255).round().astype(jnp.uint8)

  return jax.lax.map(draw, jnp.arange(count), batch_size=CHUNK)


def _crop(key: Array, levels: Pyramid, shape: tuple[int, int, int]) -> Array:
  place_key, color_key, channel_key = jax.random.split(key, 3)
  area, aspect, angle, mirror, down, right = jax.random.uniform(place_key, (6,))
  share = jnp.sqrt(MIN_AREA ** (1 - area))
  stretch = MAX_ASPECT ** (aspect - 0.5)
  # In pixels of the photograph, with the aspect ratio of the crop.
  whole = jnp.stack([levels.heights[0], levels.widths[0]])
  scale = jnp.minimum(whole[0] / shape[0], whole[1] / shape[1])
  sides = share * scale * jnp.array([shape[0] * stretch, shape[1] / stretch])
  sides = jnp.minimum(sides, whole)
  angle = jnp.deg2rad(MAX_ANGLE) * (2 * angle - 1)
  rows, columns = jnp.meshgrid(
    (jnp.arange(shape[0]) + 0.5) / shape[0] - 0.5,
    (jnp.arange(shape[1]) + 0.5) / shape[1] - 0.5,
    indexing="ij",
  )
  columns = jnp.where(mirror < 0.5, columns, -columns)
  sine, cosine = jnp.sin(angle), jnp.cos(angle)
  rows, columns = sides[0] * rows, sides[1] * columns
  middle = sides / 2 + (whole - sides) * jnp.stack([down, right])
  heights = (middle[0] + cosine * rows - sine * columns) / whole[0]
  widths = (middle[1] + sine * rows + cosine * columns) / whole[1]
  pixels_per_step = jnp.max(sides / jnp.array(shape[:2]))
  level = jnp.log2(pixels_per_step.clip(min=1.0)).round().astype(jnp.int32)
  level = level.clip(0, len(levels.heights) - 1)
  crop = _sample(levels, level, heights, widths)
  brightness, contrast = jax.random.uniform(
    color_key, (2,), minval=-1, maxval=1
  )
  factors = jax.random.uniform(
    channel_key, (shape[2],), minval=-LOG_COLOR, maxval=LOG_COLOR
  )
  mean = crop.mean()
  changed = mean + jnp.exp(LOG_CONTRAST * contrast) * (crop - mean)
  return changed * jnp.exp(factors) + MAX_BRIGHTNESS * brightness


def _sample(levels: Pyramid, level: Array, down: Array, right: Array) -> Array:
  """Interpolates bilinearly at fractions of height and width, `[H, W, C]`."""
  height, width = levels.heights[level], levels.widths[level]

  def corners(places: Array, size: Array) -> tuple[Array, Array, Array]:
    places = (places * size - 0.5).clip(0, size - 1)
    low = jnp.floor(places).astype(jnp.int32)
    return low, jnp.minimum(low + 1, size - 1), (places - low)[..., None]

  top, bottom, across = corners(down, height)
  left, right_column, along = corners(right, width)

  def pixel(row: Array, column: Array) -> Array:
    return levels.pixels[levels.offsets[level] + row * width + column]

  upper = (1 - along) * pixel(top, left) + along * pixel(top, right_column)
  lower = (1 - along) * pixel(bottom, left) + along * pixel(
    bottom, right_column
  )
  return (1 - across) * upper + across * lower
