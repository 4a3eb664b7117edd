"""Random ellipses, triangles and rectangles, and how they cover pixels.

Lengths are pixels; pixel (row, column) has its centre at (column + 1/2,
row + 1/2). How much of a pixel a shape covers follows from the signed distance
of its centre to the shape's edge, so that edges are one pixel wide.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis.procedural.noise import whole_number
from jaxkd.types import Array

MOST_SHAPES = 13
_KINDS = 3  # ellipse, triangle, rectangle


class Outline(NamedTuple):
  """An ellipse, or a triangle or rectangle whose corners lie on it.

  Attributes:
    center: `[2]`, x and y.
    frame: `[2, 2]`: this matrix times the offset from the centre gives
      coordinates in which the ellipse is the unit circle.
    normals: `[2, 4]`, unit normals of the polygon's four edges, outwards.
    offsets: `[4]`, distance of each edge from the centre.
    is_ellipse: whether it is the ellipse.
    present: whether it is drawn.
  """

  center: Array
  frame: Array
  normals: Array
  offsets: Array
  is_ellipse: Array
  present: Array


def pixel_centers(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns x `[1, W]` and y `[H, 1]` of the pixels' centres."""
  x = np.arange(width, dtype=np.float32) + 0.5
  y = np.arange(height, dtype=np.float32) + 0.5
  return x[None], y[:, None]


def random_outlines(key: Array, height: int, width: int) -> Outline:
  """Draws 1 to 13 shapes, with a leading axis of 13, the topmost last.

  Their centres lie anywhere in the image, one radius is 2 to 52 % of the
  image's shorter side, most often small, the other 0.4 to 1.6 times that; kind
  and rotation are random.
  """
  uniform = jax.random.uniform(key, (MOST_SHAPES, 9))
  number = whole_number(uniform[0, 8], 1, MOST_SHAPES)
  outlines = jax.vmap(lambda u: outline(u, height, width))(uniform[:, :8])
  return outlines._replace(present=jnp.arange(MOST_SHAPES) < number)


def outline(uniform: Array, height: int, width: int) -> Outline:
  """Maps eight uniform numbers to a shape.

  They decide on its kind, the centre's x and y (as a fraction of the image),
  the size, where 0 is the largest, the aspect, the rotation (of a full turn)
  and, the last two, the corners.
  """
  kind_u, x_u, y_u, size_u, aspect_u, turn_u, u, v = uniform
  kind = whole_number(kind_u, 1, _KINDS)
  # A distribution that is close to Beta(1.2, 2.5), in closed form.
  size = 0.02 + 0.5 * (1 - size_u ** (1 / 2.6)) ** (1 / 1.2)
  radii = size * min(height, width) * jnp.stack([1.0, 0.4 + 1.2 * aspect_u])
  turn = 2 * np.pi * turn_u
  cos, sin = jnp.cos(turn), jnp.sin(turn)
  axes = jnp.array([[cos, sin], [-sin, cos]])
  # A triangle's first edge has both ends in one point. A rectangle has the
  # corners at plus and minus one angle, and opposite.
  low, high, half = jnp.minimum(u, v), jnp.maximum(u, v), 0.1 + 0.15 * u
  corners = jnp.where(
    kind == 2,
    jnp.stack([0.0, 0.0, low, high]),
    jnp.stack([-half, half, 0.5 - half, 0.5 + half]),
  )
  angles = 2 * np.pi * corners
  local = jnp.stack([jnp.cos(angles), jnp.sin(angles)]) * radii[:, None]
  vertices = axes[0][:, None] * local[0] + axes[1][:, None] * local[1]
  normals, offsets = _edges(vertices)
  return Outline(
    jnp.stack([x_u * width, y_u * height]), axes / radii[:, None],
    normals, offsets, kind == 1, jnp.array(True),
  )  # fmt: skip


def stretched(outline: Outline, factors: Array, center: Array) -> Outline:
  """Returns a shape whose offsets `[2]` from a point are multiplied."""
  normals = outline.normals / factors[:, None]
  # An edge without length has no normal.
  length = jnp.maximum(jnp.sqrt(jnp.square(normals).sum(0)), 1e-6)
  return outline._replace(
    center=center + factors * (outline.center - center),
    frame=outline.frame / factors,
    normals=normals / length,
    offsets=outline.offsets / length,
  )


def _edges(vertices: Array) -> tuple[Array, Array]:
  """Returns normals and offsets of the edges between vertices `[2, 4]`."""
  along = jnp.roll(vertices, -1, 1) - vertices
  length = jnp.sqrt(jnp.square(along).sum(0))
  normals = jnp.stack([along[1], -along[0]]) / jnp.maximum(length, 1e-6)
  offsets = (normals * vertices).sum(0)
  # An edge without length bounds nothing.
  return normals, jnp.where(length < 1e-4, jnp.inf, offsets)


def coverage(outline: Outline, height: int, width: int) -> Array:
  """Computes the share `[H, W]` of each pixel that a shape covers."""
  x, y = pixel_centers(height, width)
  x, y = x - outline.center[0], y - outline.center[1]
  distance = jnp.where(
    outline.is_ellipse,
    _ellipse_distance(x, y, outline),
    _polygon_distance(x, y, outline),
  )
  return cover(jnp.where(outline.present, distance, jnp.inf))


def cover(distance: Array) -> Array:
  """Maps the signed distance of a pixel's centre to its covered share."""
  return jnp.clip(0.5 - distance, 0, 1)


def _ellipse_distance(x: Array, y: Array, outline: Outline) -> Array:
  """Computes the distance to first order, which holds near the edge."""
  ((a, b), (c, d)) = outline.frame
  u, v = a * x + b * y, c * x + d * y
  slope = jnp.square(a * u + c * v) + jnp.square(b * u + d * v)
  return 0.5 * (u * u + v * v - 1) * jax.lax.rsqrt(slope + 1e-12)


def _polygon_distance(x: Array, y: Array, outline: Outline) -> Array:
  sides = [
    outline.normals[0, side] * x
    + outline.normals[1, side] * y
    - outline.offsets[side]
    for side in range(4)
  ]
  return jnp.maximum(
    jnp.maximum(sides[0], sides[1]), jnp.maximum(sides[2], sides[3])
  )


def paint(
  planes: Array,
  layers: chex.ArrayTree,
  render: Callable[[chex.ArrayTree], tuple[Array, Array]],
) -> Array:
  """Paints layers over planes `[C, H, W]`, one after the other.

  Args:
    planes: what lies below.
    layers: a pytree with a leading axis, the topmost last.
    render: maps one layer to the share `[H, W]` of each pixel that it covers,
      and to its colour, which broadcasts to `[C, H, W]`.
  """

  def step(planes: Array, layer: chex.ArrayTree) -> tuple[Array, None]:
    covered, color = render(layer)
    return planes + covered * (color - planes), None

  # A loop, because XLA would compute the layers again for every channel.
  return jax.lax.scan(step, planes, layers)[0]
