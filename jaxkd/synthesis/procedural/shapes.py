"""Textured shapes: as dead leaves, but filled with other sources."""

import jax
import jax.numpy as jnp

from jaxkd.synthesis.procedural.color import random_colors
from jaxkd.synthesis.procedural.geometry import (
  MOST_SHAPES,
  Outline,
  coverage,
  paint,
  random_outlines,
)
from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.synthesis.procedural.smooth import smooth
from jaxkd.synthesis.procedural.spectrum import spectrum
from jaxkd.synthesis.procedural.strokes import strokes
from jaxkd.types import Array

TEXTURES = (smooth, spectrum, strokes)


def shapes(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with 1 to 13 textured shapes on a texture.

  A texture is a grey image of smooth noise, of a falling spectrum or of
  strokes, drawn from one random colour to another. The shapes of one image
  share one image of each kind, of which they show different parts.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 3 + len(TEXTURES))
  textures = [
    texture(each, (height, width, 1))[0]
    for texture, each in zip(TEXTURES, keys[3:], strict=True)
  ]
  which = whole_number(
    jax.random.uniform(keys[0], (MOST_SHAPES + 1,)), 0, len(TEXTURES) - 1
  )
  ends = random_colors(keys[1], 2 * (MOST_SHAPES + 1), channels)
  ends = ends.reshape(MOST_SHAPES + 1, 2, channels, 1, 1)

  def color(which: Array, ends: Array) -> Array:
    texture = jnp.where(which == 0, textures[0], textures[1])
    texture = jnp.where(which == 2, textures[2], texture)
    return ends[0] + (ends[1] - ends[0]) * texture

  def render(layer: tuple[Outline, Array, Array]) -> tuple[Array, Array]:
    outline, which, ends = layer
    return coverage(outline, height, width), color(which, ends)

  outlines = random_outlines(keys[2], height, width)
  layers = (outlines, which[:-1], ends[:-1])
  return paint(color(which[-1], ends[-1]), layers, render)
