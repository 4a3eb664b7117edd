"""Objects: one thing in the middle of a background of one colour."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis.priors import apply_tone, random_tones
from jaxkd.synthesis.procedural.color import random_colors
from jaxkd.synthesis.procedural.geometry import (
  Outline,
  coverage,
  outline,
  stretched,
)
from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.synthesis.procedural.smooth import smooth_field
from jaxkd.types import Array

MOST_PARTS = 7
MIRRORED = 0.75  # share of the objects that are their own mirror image
UPRIGHT = 0.75  # share of the parts that are not rotated
LARGEST = 0.6  # parts have the largest 60 % of the sizes of other shapes
MIDDLE = np.array([0.5, 0.7])  # share of width and height that centres lie in
MOST_STRETCHED = 0.6  # natural logarithm of the largest factor
SCALES = (3, 5, 9, 16)  # of the texture


def objects(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with an object.

  It is the union of 1 to 7 ellipses, triangles and rectangles, drawn out in
  height or in width, with a texture of smooth noise from one random colour to
  another. The background is black in half of the images, and has a random
  colour in the others.
  """
  height, width, channels = shape
  parts_key, choice_key, color_key, *texture_keys = jax.random.split(key, 5)
  mirror_u, black_u, stretch_u = jax.random.uniform(choice_key, (3,))
  log_stretch = MOST_STRETCHED * (2 * stretch_u - 1)
  factors = jnp.exp(jnp.stack([log_stretch, -log_stretch]))
  parts = _random_parts(parts_key, height, width)
  center = np.array([width / 2, height / 2], np.float32)
  parts = jax.vmap(stretched, (0, None, None))(parts, factors, center)

  def add(covered: Array, part: Outline) -> tuple[Array, None]:
    return jnp.maximum(covered, coverage(part, height, width)), None

  covered = jax.lax.scan(add, jnp.zeros((height, width)), parts)[0]
  both = jnp.maximum(covered, covered[:, ::-1])
  covered = jnp.where(mirror_u < MIRRORED, both, covered)

  colors = random_colors(color_key, 3, channels)[..., None, None]
  background = jnp.where(black_u < 0.5, 0.0, colors[0])
  texture = _texture(*texture_keys, height, width)
  surface = colors[1] + (colors[2] - colors[1]) * texture
  return background + covered * (surface - background)


def _random_parts(key: Array, height: int, width: int) -> Outline:
  """Draws 1 to 7 large shapes about the middle, with a leading axis of 7."""
  uniform = jax.random.uniform(key, (10, MOST_PARTS))
  kind, x, y, size, aspect, turn, upright, first, second, number = uniform
  x, y = 0.5 + MIDDLE[:, None] * (jnp.stack([x, y]) - 0.5)
  turn = jnp.where(upright < UPRIGHT, 0.0, turn)
  chosen = [kind, x, y, LARGEST * size, aspect, turn, first, second]
  parts = jax.vmap(lambda u: outline(u, height, width))(jnp.stack(chosen, 1))
  number = whole_number(number[0], 1, MOST_PARTS)
  return parts._replace(present=jnp.arange(MOST_PARTS) < number)


def _texture(
  field_key: Array, tone_key: Array, height: int, width: int
) -> Array:
  """Draws a field `[H, W]` in (0, 1)."""
  field = smooth_field(field_key, height, width, SCALES)
  field = jax.nn.standardize(field, (0, 1), epsilon=1e-8)
  return apply_tone(field[None], random_tones(tone_key, 1))[0]
