"""Strokes: thick curves, light on dark."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis.procedural.color import random_colors
from jaxkd.synthesis.procedural.geometry import cover, paint, pixel_centers
from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.types import Array

MOST_STROKES = 4
THINNEST, THICKEST = 0.03, 0.17  # of the image's shorter side
MARGIN = 0.1  # of each side, free of control points
DARKEST = 0.47  # least lightness of a stroke
INVERTED = 0.1  # share of the images that are dark on light


def strokes(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with one to four Bezier curves on black.

  Curves have degree 2 or 3, round ends, and one width and one colour each. One
  image in ten is inverted.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 3)
  points = _polylines(keys[0], height, width)
  number_u, invert_u, *thickness_u = jax.random.uniform(
    keys[1], (2 + MOST_STROKES,)
  )
  number = whole_number(number_u, 1, MOST_STROKES)
  thickness = THINNEST + (THICKEST - THINNEST) * jnp.stack(thickness_u)
  thickness = thickness * min(height, width)
  # A stroke of radius minus infinity covers nothing.
  present = jnp.arange(MOST_STROKES) < number
  radii = jnp.where(present, thickness / 2, -jnp.inf)
  colors = random_colors(keys[2], MOST_STROKES, channels, DARKEST)

  def render(layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    points, radius, color = layer
    return cover(_distance(points, height, width) - radius), color

  layers = (points, radii, colors[..., None, None])
  planes = paint(jnp.zeros((channels, height, width)), layers, render)
  return jnp.where(invert_u < INVERTED, 1 - planes, planes)


def _polylines(key: Array, height: int, width: int) -> Array:
  """Draws curves of degree 2 or 3 as polylines `[K, points, 2]`.

  The number of segments keeps them within a fifth of a pixel of the curve.
  """
  uniform = jax.random.uniform(key, (5, MOST_STROKES, 2))
  quadratic = uniform[4, :, :1] < 0.5
  controls = MARGIN + (1 - 2 * MARGIN) * uniform[:4]
  a, b, c, d = controls * np.array([width, height], np.float32)
  # A curve of degree 2 with the control points a, b, d, written as of degree 3.
  b, c = (
    jnp.where(quadratic, (a + 2 * b) / 3, b),
    jnp.where(quadratic, (d + 2 * b) / 3, c),
  )
  segments = max(4, math.ceil(8 * math.sqrt(max(height, width) / 32)))
  t = np.linspace(0, 1, segments + 1, dtype=np.float32)[:, None]
  s = 1 - t
  a, b, c, d = (control[:, None] for control in (a, b, c, d))
  return a * s**3 + b * (3 * s * s * t) + c * (3 * s * t * t) + d * t**3


def _distance(points: Array, height: int, width: int) -> Array:
  """Computes the distance `[H, W]` of each pixel from a polyline."""
  x, y = pixel_centers(height, width)
  steps = points[1:] - points[:-1]
  lengths = jnp.square(steps).sum(1, keepdims=True)
  per_length = steps / jnp.maximum(lengths, 1e-6)
  squared = jnp.inf
  for segment in range(len(steps)):
    from_x, from_y = x - points[segment, 0], y - points[segment, 1]
    along = from_x * per_length[segment, 0] + from_y * per_length[segment, 1]
    along = jnp.clip(along, 0, 1)
    off_x = from_x - along * steps[segment, 0]
    off_y = from_y - along * steps[segment, 1]
    squared = jnp.minimum(squared, off_x * off_x + off_y * off_y)
  return jnp.sqrt(squared)
