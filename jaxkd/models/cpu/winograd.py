"""3x3 convolutions by Winograd's algorithm F(4x4, 3x3), for the CPU.

With d a tile of 6x6 pixels, of which neighbours share two rows or columns, and
k a kernel, a tile of 4x4 outputs is

  y = A^T [(G k G^T) * (B^T d B)] A,

where * multiplies numbers at each of the 36 positions. With channels it is 36
matrix products, which take a quarter of the multiplications of the definition.
`jaxkd.models.cpu.winograd_transforms` has the matrices A, B and G. Results
differ from those of the definition by about 1e-5 of the largest value.

All three transforms are linear, and both gradients are 36 matrix products
between the same transforms and their adjoints:

  dx from B [(G k G^T) * (A dy A^T)] B^T,
  dk =  G^T [(B^T d B) * (A dy A^T)] G.
"""

from collections.abc import Callable
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
from jaxkd.models.cpu.winograd_transforms import (
  IMAGE,
  OUTPUT,
  SIDE,
  A,
  B,
  G,
  Padding,
  combine,
  from_tiles,
  kernel_tiles,
  pad_inputs,
  pad_outputs,
  to_tiles,
)
from jaxkd.types import Array

MAX_TILES = 256  # of a part of the batch; more of them do not fit the cache
# With fewer, the transforms or the kernels cost more than the products save.
MIN_CHANNELS, MIN_TILES = 32, 16


def is_faster(x: Array, kernel: Array, strides, padding: Padding) -> bool:
  """Returns whether the algorithm applies to a convolution and is faster."""
  rows, columns = (
    -(-(size + low + high - 2) // SIDE)
    for size, (low, high) in zip(x.shape[1:3], padding, strict=True)
  )
  return (
    kernel.shape[:2] == (3, 3)
    and strides == (1, 1)
    and x.dtype == jnp.float32
    and min(kernel.shape[2:]) >= MIN_CHANNELS
    and len(x) * rows * columns >= MIN_TILES
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, padding: Padding) -> Array:
  """Computes a convolution of stride 1.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[3, 3, C, O]`.
    padding: low and high padding, of rows and of columns.

  Returns:
    `[B, H', W', O]`.
  """
  return _products(x.shape[1:3], padding)(x, kernel_tiles(kernel))


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, dy):
  x, kernel = residuals
  tiles = kernel_tiles(kernel).swapaxes(2, 3)
  return (
    _input_gradient(x.shape[1:3], padding)(dy, tiles),
    _kernel_gradient(padding)(x, dy),
  )


convolve.defvjp(_forward, _backward)


@functools.cache
def _products(size: tuple[int, int], padding: Padding):
  """Returns the outputs as a function of x and of the kernel's tiles.

  `size` is the height and width of x.
  """
  outputs = [s + sum(pad) - 2 for s, pad in zip(size, padding, strict=True)]

  @merges_batches
  def products(x, kernel):
    def part(x):
      tiles = to_tiles(pad_inputs(x, padding), IMAGE)
      y = from_tiles(_multiply(tiles, kernel), OUTPUT)
      return y[:, : outputs[0], : outputs[1]]

    return _map_parts(part, x, outputs)

  return products


@functools.cache
def _input_gradient(size: tuple[int, int], padding: Padding):
  """Returns dx as a function of dy and of the kernel's tiles `[6, 6, O, C]`."""
  (top, _), (left, _) = padding

  @merges_batches
  def input_gradient(dy, kernel):
    def part(dy):
      tiles = to_tiles(pad_outputs(dy), A)
      dx = from_tiles(_multiply(tiles, kernel), B)
      return dx[:, top : top + size[0], left : left + size[1]]

    return _map_parts(part, dy, dy.shape[1:3])

  return input_gradient


@functools.cache
def _kernel_gradient(padding: Padding):
  """Returns dk as a function of x and dy."""

  @sequential_vmap
  def kernel_gradient(x, dy):
    parts = [_split(leaf, dy.shape[1:3]) for leaf in (x, dy)]

    def add(total, part):
      x, dy = part
      x = to_tiles(pad_inputs(x, padding), IMAGE)
      dy = to_tiles(pad_outputs(dy), A)
      # One by one: for a batch of products XLA would transpose all tiles of x.
      products = [
        [summed_products(x[j, i], dy[j, i]) for i in range(6)] for j in range(6)
      ]
      return total + jnp.array(products), None

    zero = jnp.zeros((6, 6, x.shape[-1], dy.shape[-1]), x.dtype)
    total, _ = lax.scan(add, zero, parts)
    for axis in (1, 0):
      total = jnp.stack(combine(G, list(total)), axis=axis)
    return total

  return kernel_gradient


def _multiply(tiles: Array, kernel: Array) -> Array:
  """Multiplies tiles with those of a kernel, `[6, 6, B, h, w, O]`."""
  flat = tiles.reshape(6, 6, -1, tiles.shape[-1])
  return (flat @ kernel).reshape(*tiles.shape[:-1], -1)


def _split(x: Array, outputs: tuple[int, ...]) -> Array:
  """Splits a batch into parts of few enough tiles, along a new first axis."""
  tiles = -(-outputs[0] // SIDE) * -(-outputs[1] // SIDE)
  parts = equal_parts(len(x), tiles, MAX_TILES)
  return x.reshape(parts, -1, *x.shape[1:])


def _map_parts(
  function: Callable[[Array], Array], x: Array, outputs: tuple[int, ...]
) -> Array:
  y = lax.map(function, _split(x, outputs))
  return y.reshape(-1, *y.shape[2:])
