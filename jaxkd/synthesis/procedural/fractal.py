"""Fractals: attractors of iterated function systems, drawn as densities."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis.procedural.color import random_colors
from jaxkd.synthesis.procedural.geometry import pixel_centers
from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.types import Array

MOST_MAPS = 4
STEPS = 16  # two random bits each, of one word
CHUNK = 256  # points that are drawn at once, which bounds the memory


def fractal(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` of a fractal on a background.

  The system has two to four random affine contractions. Points play the chaos
  game, each with a random sequence of maps; a pixel is the more opaque the more
  points are near. The two colours of the fractal mark the part that the first
  map makes.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 4)
  count = 1024 if max(height, width) <= 64 else 4096
  points, of_first = _chaos_game(keys[0], count)
  u = jax.random.uniform(keys[1], (4,))
  # It fills 60 to 100 % of the image.
  low, high = points.min(1), points.max(1)
  extent = (high - low).max() / (0.6 + 0.4 * u[0])
  middle = 0.5 + (points - (low + high)[:, None] / 2) / extent
  size = np.array([[width], [height]], np.float32)
  density, first = _splat(middle * size, of_first, height, width)
  opacity = 1 - jnp.exp(-density * (0.5 * 8 ** u[1]))
  share = first / jnp.maximum(density, 1e-6)
  back, fore, part = random_colors(keys[2], 3, channels)[..., None, None]
  back = jnp.where(u[2] < 0.5, 0.0, back)
  return back + opacity * (fore + share * (part - fore) - back)


def _chaos_game(key: Array, count: int) -> tuple[Array, Array]:
  """Returns points `[2, N]` of the attractor, and which the first map made."""
  map_key, word_key = jax.random.split(key)
  u = jax.random.uniform(map_key, (7, MOST_MAPS))
  turn, skew = 2 * np.pi * u[0], 2 * np.pi * u[1]
  long = 0.4 + 0.45 * u[2]
  short = long * (0.2 + 0.8 * u[3])
  # A rotation, a contraction along the axes, and another rotation.
  cos, sin, cos2, sin2 = (
    jnp.cos(turn),
    jnp.sin(turn),
    jnp.cos(skew),
    jnp.sin(skew),
  )
  xx = cos * long * cos2 - sin * short * sin2
  xy = -cos * long * sin2 - sin * short * cos2
  yx = sin * long * cos2 + cos * short * sin2
  yy = -sin * long * sin2 + cos * short * cos2
  maps = jnp.stack([xx, xy, 2 * u[4] - 1, yx, yy, 2 * u[5] - 1])
  number = whole_number(u[6, 0], 2, MOST_MAPS).astype(jnp.uint32)
  words = jax.random.bits(word_key, (count,))
  x = y = jnp.zeros(count)
  for step in range(STEPS):
    which = (words >> (2 * step) & 3) % number
    a, b, c, d, e, f = (_choose(which, each) for each in maps)
    x, y = a * x + b * y + c, d * x + e * y + f
  return jnp.stack([x, y]), which == 0


def _choose(which: Array, values: Array) -> Array:
  """Selects from a few values, without a gather, which is slow on the CPU."""
  chosen = values[0]
  for index in range(1, MOST_MAPS):
    chosen = jnp.where(which == index, values[index], chosen)
  return chosen


def _splat(
  points: Array, marked: Array, height: int, width: int
) -> tuple[Array, Array]:
  """Draws points as tents; returns the sums `[H, W]` of all and of the marked.

  A tent is a product of one function of x and one of y, so that the sum over
  the points is a matrix product. The sum of all tents is the number of pixels
  divided by 4, whatever the size.
  """
  columns, rows = pixel_centers(height, width)
  radius = max(1.0, min(height, width) / 96)
  total = jnp.zeros((height, 2 * width))
  for start in range(0, points.shape[1], CHUNK):
    x, y = points[:, start : start + CHUNK]
    of_x = jnp.maximum(0, 1 - jnp.abs(columns - x[:, None]) / radius)
    of_y = jnp.maximum(0, 1 - jnp.abs(rows - y) / radius)
    of_mark = of_x * marked[start : start + CHUNK, None]
    total += of_y @ jnp.concatenate([of_x, of_mark], 1)
  total *= height * width / (4 * radius**2 * points.shape[1])
  return total[:, :width], total[:, width:]
