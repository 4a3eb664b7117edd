"""Dead leaves: shapes of random colours that lie over each other."""

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
from jaxkd.types import Array


def leaves(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with 1 to 13 shapes.

  The background is black in half of the images, and has a random colour in the
  others.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 3)
  outlines = random_outlines(keys[0], height, width)
  colors = random_colors(keys[1], MOST_SHAPES + 1, channels)[..., None, None]
  background = jnp.where(jax.random.bernoulli(keys[2]), colors[-1], 0.0)

  def render(layer: tuple[Outline, Array]) -> tuple[Array, Array]:
    outline, color = layer
    return coverage(outline, height, width), color

  background = jnp.broadcast_to(background, (channels, height, width))
  return paint(background, (outlines, colors[:-1]), render)
