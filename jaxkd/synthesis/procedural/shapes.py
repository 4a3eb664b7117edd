"""Textured shapes: as dead leaves, but filled with other sources."""

import jax
import jax.numpy as jnp

from jaxkd.synthesis.priors import apply_tone, random_tones
from jaxkd.synthesis.procedural.color import random_colors
from jaxkd.synthesis.procedural.geometry import (
  MOST_SHAPES,
  Outline,
  coverage,
  paint,
  random_outlines,
)
from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.synthesis.procedural.smooth import COARSE, smooth_field
from jaxkd.synthesis.procedural.spectrum import (
  FLATTEST,
  STEEPEST,
  spectrum_field,
)
from jaxkd.synthesis.procedural.strokes import strokes
from jaxkd.types import Array

_TEXTURES = 3


def shapes(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with 1 to 13 textured shapes on a texture.

  A texture is a grey image of coarse smooth noise, of a falling spectrum or of
  strokes, drawn from one random colour to another. The shapes of one image
  share one image of each kind, of which they show different parts.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 4)
  textures = _textures(keys[0], height, width)
  uniform = jax.random.uniform(keys[1], (MOST_SHAPES + 1,))
  which = whole_number(uniform, 0, _TEXTURES - 1)
  ends = random_colors(keys[2], 2 * (MOST_SHAPES + 1), channels)
  ends = ends.reshape(MOST_SHAPES + 1, 2, channels, 1, 1)

  def color(which: Array, ends: Array) -> Array:
    texture = jnp.where(which == 0, textures[0], textures[1])
    texture = jnp.where(which == 2, textures[2], texture)
    return ends[0] + (ends[1] - ends[0]) * texture

  def render(layer: tuple[Outline, Array, Array]) -> tuple[Array, Array]:
    outline, which, ends = layer
    return coverage(outline, height, width), color(which, ends)

  outlines = random_outlines(keys[3], height, width)
  layers = (outlines, which[:-1], ends[:-1])
  return paint(color(which[-1], ends[-1]), layers, render)


def _textures(key: Array, height: int, width: int) -> Array:
  """Draws one grey image of each kind, `[3, H, W]`."""
  keys = jax.random.split(key, 5)
  exponent = jax.random.uniform(keys[0], minval=FLATTEST, maxval=STEEPEST)
  fields = [
    smooth_field(keys[1], height, width, COARSE),
    spectrum_field(keys[2], height, width, exponent),
  ]
  noise = apply_tone(jnp.stack(fields), random_tones(keys[3], 2))
  return jnp.concatenate([noise, strokes(keys[4], (height, width, 1))])
