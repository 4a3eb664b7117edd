"""The tiles and the linear transforms of Winograd's algorithm F(4x4, 3x3).

The matrices belong to the interpolation points 0, 1, -1, 2, -2 and infinity
(Lavin and Gray, CVPR 2016, section 4.3). All arrays of tiles have the columns
of a tile in the first axis and its rows in the second.
"""

import functools

from jax import lax
import jax.numpy as jnp

from jaxkd.types import Array

Padding = tuple[tuple[int, int], tuple[int, int]]
Matrix = tuple[tuple[float, ...], ...]

SIDE = 4  # outputs of a tile, per axis
# B^T, G and A^T in the notation of Lavin and Gray.
IMAGE = (
  (4, 0, -5, 0, 1, 0),
  (0, -4, -4, 1, 1, 0),
  (0, 4, -4, -1, 1, 0),
  (0, -2, -1, 2, 1, 0),
  (0, 2, -1, -2, 1, 0),
  (0, 4, 0, -5, 0, 1),
)
KERNEL = (
  (1 / 4, 0, 0),
  (-1 / 6, -1 / 6, -1 / 6),
  (-1 / 6, 1 / 6, -1 / 6),
  (1 / 24, 1 / 12, 1 / 6),
  (1 / 24, -1 / 12, 1 / 6),
  (0, 0, 1),
)
OUTPUT = (
  (1, 1, 1, 1, 1, 0),
  (0, 1, -1, 2, -2, 0),
  (0, 1, 1, 4, 4, 0),
  (0, 1, -1, 8, -8, 1),
)
# Their transposes, for the gradients.
B, G, A = (tuple(zip(*rows, strict=True)) for rows in (IMAGE, KERNEL, OUTPUT))


def kernel_tiles(kernel: Array) -> Array:
  """Transforms a kernel `[3, 3, C, O]` to G k G^T, `[6, 6, C, O]`."""
  rows = jnp.stack(combine(KERNEL, list(kernel)), axis=1)  # [j, 6, C, O]
  return jnp.stack(combine(KERNEL, list(rows)))


def to_tiles(x: Array, matrix: Matrix) -> Array:
  """Cuts an array into tiles, 4 pixels apart, and transforms rows and columns.

  Args:
    x: `[B, 4 h, 4 w, C]`, or 2 larger where tiles have 6 pixels.
    matrix: `[6, 4]` or `[6, 6]`.

  Returns:
    `[6, 6, B, h, w, C]`.
  """
  for axis in (1, 3):
    last = x.shape[axis] // SIDE * SIDE - SIDE
    pixels = [
      lax.slice_in_dim(x, first, first + last + 1, SIDE, axis)
      for first in range(len(matrix[0]))
    ]
    # Without the barrier XLA computes the rows again for every column.
    x = lax.optimization_barrier(jnp.stack(combine(matrix, pixels)))
  return x


def from_tiles(tiles: Array, matrix: Matrix) -> Array:
  """Transforms tiles and joins them; overlapping pixels are added.

  It is the adjoint of `to_tiles` with the transposed matrix.
  """
  for axis in (3, 1):
    pixels = combine(matrix, list(tiles))
    pixels, overlaps = pixels[:SIDE], pixels[SIDE:]
    if overlaps:
      behind, ahead = ([(0, 0)] * pixels[0].ndim for _ in range(2))
      behind[axis], ahead[axis] = (0, 1), (1, 0)
      pixels = [jnp.pad(pixel, behind) for pixel in pixels]
      for index, overlap in enumerate(overlaps):
        pixels[index] += jnp.pad(overlap, ahead)
    joined = jnp.stack(pixels, axis=axis + 1)
    shape = (*joined.shape[:axis], -1, *joined.shape[axis + 2 :])
    tiles = lax.optimization_barrier(joined.reshape(shape))
  return tiles


def combine(matrix: Matrix, parts: list[Array]) -> list[Array]:
  """Multiplies a matrix with a list of arrays, leaving out products with 0."""
  return [
    functools.reduce(
      jnp.add,
      (
        part if weight == 1 else weight * part
        for weight, part in zip(row, parts, strict=True)
        if weight
      ),
    )
    for row in matrix
  ]


def pad_inputs(x: Array, padding: Padding) -> Array:
  """Pads inputs by the convolution's padding and to whole tiles of 6 pixels."""
  pads = [
    (low, high + -(size + low + high - 2) % SIDE)
    for size, (low, high) in zip(x.shape[1:3], padding, strict=True)
  ]
  return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def pad_outputs(dy: Array) -> Array:
  """Pads gradients of the outputs to whole tiles of 4 pixels."""
  pads = [(0, -size % SIDE) for size in dy.shape[1:3]]
  return jnp.pad(dy, ((0, 0), *pads, (0, 0)))
