"""3x3 convolutions by Winograd's algorithm F(4x4, 3x3), for the CPU.

With d a tile of 6x6 pixels, of which neighbours share two rows or columns, and
k a kernel, a tile of 4x4 outputs is

  y = A^T [(G k G^T) * (B^T d B)] A,

where * is a product of numbers for each of the 36 positions; over channels it
becomes 36 matrix products, which multiply a quarter as often as the definition.
A, B and G belong to the interpolation points 0, 1, -1, 2, -2 and infinity
(Lavin and Gray, CVPR 2016, section 4.3). Results differ from those of the
definition by some 1e-5 of the largest.

All three transforms are linear, and both gradients are 36 matrix products
between the same transforms and their adjoints:

  dx from B [(G k G^T) * (A dy A^T)] B^T,
  dk =  G^T [(B^T d B) * (A dy A^T)] G.
"""

import functools

import jax
from jax import lax
from jax.custom_batching import sequential_vmap
import jax.numpy as jnp

from jaxkd.models.cpu.conv_gradients import (
  equal_parts,
  merges_batches,
  summed_products,
)
from jaxkd.types import Array

SIDE = 4  # outputs of a tile, per axis
# B^T, G and A^T.
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
B, G, A = (tuple(zip(*rows, strict=True)) for rows in (IMAGE, KERNEL, OUTPUT))
# Tiles that are worked on at once: more of them fall out of the cache.
PART = 256
# Below, the transforms or the kernels cost more than the products save.
FEWEST_CHANNELS, FEWEST_TILES = 32, 16

Padding = tuple[tuple[int, int], tuple[int, int]]


def pays(x: Array, kernel: Array, strides, padding: Padding) -> bool:
  """Whether a convolution has this form, and is faster in it."""
  rows, columns = (
    -(-(size + low + high - 2) // SIDE)
    for size, (low, high) in zip(x.shape[1:3], padding, strict=True)
  )
  return (
    kernel.shape[:2] == (3, 3)
    and strides == (1, 1)
    and x.dtype == jnp.float32
    and min(kernel.shape[2:]) >= FEWEST_CHANNELS
    and len(x) * rows * columns >= FEWEST_TILES
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, padding: Padding) -> Array:
  """A convolution of stride 1.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[3, 3, C, O]`.
    padding: low and high, of rows and columns.

  Returns:
    `[B, H', W', O]`.
  """
  return _products(x.shape[1:3], padding)(x, _kernel_tiles(kernel))


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, dy):
  x, kernel = residuals
  tiles = _kernel_tiles(kernel).swapaxes(2, 3)
  return (
    _input_gradient(x.shape[1:3], padding)(dy, tiles),
    _kernel_gradient(padding)(x, dy),
  )


convolve.defvjp(_forward, _backward)


@functools.cache
def _products(size: tuple[int, int], padding: Padding):
  """Outputs for `x` with rows and columns of `size`, and the kernel's tiles."""
  outputs = [s + sum(pad) - 2 for s, pad in zip(size, padding, strict=True)]

  @merges_batches
  def products(x, kernel):
    def part(x):
      y = _joined(_times(_tiles(_padded(x, padding), IMAGE), kernel), OUTPUT)
      return y[:, : outputs[0], : outputs[1]]

    return _in_parts(part, x, outputs)

  return products


@functools.cache
def _input_gradient(size: tuple[int, int], padding: Padding):
  """Gradient by images, of dy and tiles with features before channels."""
  (top, _), (left, _) = padding

  @merges_batches
  def input_gradient(dy, kernel):
    def part(dy):
      dx = _joined(_times(_tiles(_whole(dy), A), kernel), B)
      return dx[:, top : top + size[0], left : left + size[1]]

    return _in_parts(part, dy, dy.shape[1:3])

  return input_gradient


@functools.cache
def _kernel_gradient(padding: Padding):
  """Gradient by the kernel, of x and dy."""

  @sequential_vmap
  def kernel_gradient(x, dy):
    parts = [_split(leaf, dy.shape[1:3]) for leaf in (x, dy)]

    def add(total, part):
      x, dy = part
      x, dy = _tiles(_padded(x, padding), IMAGE), _tiles(_whole(dy), A)
      # One by one: as a batch, XLA would transpose all tiles of x before.
      products = [
        [summed_products(x[j, i], dy[j, i]) for i in range(6)] for j in range(6)
      ]
      return total + jnp.array(products), None

    zero = jnp.zeros((6, 6, x.shape[-1], dy.shape[-1]), x.dtype)
    total, _ = lax.scan(add, zero, parts)
    for axis in (1, 0):
      total = jnp.stack(_mixed(G, list(total)), axis=axis)
    return total

  return kernel_gradient


def _kernel_tiles(kernel: Array) -> Array:
  """G k G^T, `[6, 6, C, O]`, like all tiles the columns first."""
  rows = jnp.stack(_mixed(KERNEL, list(kernel)), axis=1)  # [j, 6, C, O]
  return jnp.stack(_mixed(KERNEL, list(rows)))


def _times(tiles: Array, kernel: Array) -> Array:
  """The 36 products, `[6, 6, B, h, w, O]`."""
  flat = tiles.reshape(6, 6, -1, tiles.shape[-1])
  return (flat @ kernel).reshape(*tiles.shape[:-1], -1)


def _tiles(x: Array, matrix) -> Array:
  """Rows and columns of tiles, 4 apart, times a matrix: `[6, 6, B, h, w, C]`.

  Args:
    x: `[B, 4 h, 4 w, C]`, or 2 larger where tiles have 6 pixels.
    matrix: `[6, 4]` or `[6, 6]`.
  """
  for axis in (1, 3):
    last = x.shape[axis] // SIDE * SIDE - SIDE
    pixels = [
      lax.slice_in_dim(x, first, first + last + 1, SIDE, axis)
      for first in range(len(matrix[0]))
    ]
    # Else XLA makes the rows anew for every column.
    x = lax.optimization_barrier(jnp.stack(_mixed(matrix, pixels)))
  return x


def _joined(tiles: Array, matrix) -> Array:
  """The adjoint of `_tiles` with the transposed matrix: overlaps add up."""
  for axis in (3, 1):
    pixels = _mixed(matrix, list(tiles))
    pixels, overlaps = pixels[:SIDE], pixels[SIDE:]
    if overlaps:
      behind, ahead = ([(0, 0)] * pixels[0].ndim for _ in range(2))
      behind[axis], ahead[axis] = (0, 1), (1, 0)
      pixels = [jnp.pad(pixel, behind) for pixel in pixels]
      for place, overlap in enumerate(overlaps):
        pixels[place] += jnp.pad(overlap, ahead)
    joined = jnp.stack(pixels, axis=axis + 1)
    shape = (*joined.shape[:axis], -1, *joined.shape[axis + 2 :])
    tiles = lax.optimization_barrier(joined.reshape(shape))
  return tiles


def _mixed(matrix, parts: list[Array]) -> list[Array]:
  """A matrix times arrays, as sums that leave out what is 0."""
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


def _padded(x: Array, padding: Padding) -> Array:
  """To whole tiles of 6 pixels."""
  pads = [
    (low, high + -(size + low + high - 2) % SIDE)
    for size, (low, high) in zip(x.shape[1:3], padding, strict=True)
  ]
  return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _whole(dy: Array) -> Array:
  """To whole tiles of 4 pixels."""
  pads = [(0, -size % SIDE) for size in dy.shape[1:3]]
  return jnp.pad(dy, ((0, 0), *pads, (0, 0)))


def _split(x: Array, outputs) -> Array:
  """Batches of a part each, along a new first axis."""
  tiles = -(-outputs[0] // SIDE) * -(-outputs[1] // SIDE)
  parts = equal_parts(len(x), tiles, PART)
  return x.reshape(parts, -1, *x.shape[1:])


def _in_parts(function, x: Array, outputs) -> Array:
  y = lax.map(function, _split(x, outputs))
  return y.reshape(-1, *y.shape[2:])
