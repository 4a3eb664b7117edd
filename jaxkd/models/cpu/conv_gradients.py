"""The convolutions of `jaxkd.models.cpu.conv`, and its two gradients, in the
one layout that XLA:CPU runs fast everywhere.
"""

import functools

from jax import lax
from jax.custom_batching import custom_vmap
import jax.numpy as jnp

LAYOUT = ("NHWC", "HWIO", "NHWC")
# Output positions (batch, rows and columns) that one kernel gradient sums over:
# there dy is the kernel, and a larger one falls out of the cache.
PART = 16_384
# Of a strided convolution, from which its kernel gradient is summed tap by tap.
FEWEST_CHANNELS = 16


def merges_batches(conv):
  """`conv(x, kernel)` with the batching rules of `jaxkd.models.cpu.conv`.

  Args:
    conv: of `[B, ..., C]` and `[i, j, C, O]` makes `[B, ..., O]`.
  """
  conv = custom_vmap(conv)

  @conv.def_vmap
  def batched_conv(size, batched, x, kernel):
    x_batched, kernel_batched = batched
    if x_batched and kernel_batched:
      return lax.map(lambda pair: conv(*pair), (x, kernel)), True
    if x_batched:
      y = conv(x.reshape(-1, *x.shape[2:]), kernel)
      return y.reshape(size, -1, *y.shape[1:]), True
    kernel = jnp.moveaxis(kernel, 0, -2)
    y = conv(x, kernel.reshape(*kernel.shape[:3], -1))
    return jnp.moveaxis(y.reshape(*y.shape[:3], size, -1), -2, 0), True

  return conv


@functools.cache
def canonical(strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
  """NHWC/HWIO/NHWC convolution."""

  @merges_batches
  def conv(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      strides,
      padding,
      rhs_dilation=dilation,
      dimension_numbers=LAYOUT,
    )

  return conv


def input_gradient(dy, kernel, strides, padding, size):
  """dx, `[B, H, W, C]`: interleaves the phases of both spatial axes."""
  # A kernel smaller than the stride leaves phases without a tap: give it zeros.
  missing = [
    (0, max(stride - taps, 0))
    for stride, taps in zip(strides, kernel.shape[:2], strict=True)
  ]
  kernel = jnp.pad(kernel, (*missing, (0, 0), (0, 0)))
  axes = zip(
    size, dy.shape[1:3], strides, padding, kernel.shape[:2], strict=True
  )
  rows, columns = ([_phase(r, *axis) for r in range(axis[2])] for axis in axes)
  flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
  phases = [
    [
      canonical((1, 1), (row_padding, column_padding))(
        dy, flipped[row_taps, column_taps]
      )
      for column_taps, column_padding in columns
    ]
    for row_taps, row_padding in rows
  ]
  if strides == (1, 1):
    return phases[0][0]
  dx = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)
  batch, height, row_stride, width, column_stride, channels = dx.shape
  dx = dx.reshape(batch, height * row_stride, width * column_stride, channels)
  return dx[:, : size[0], : size[1]]


def _phase(phase, length, steps, stride, padding, taps):
  """Which taps reach the positions `stride q + phase` of one axis, and how dy
  is padded for them.

  Tap i sends dy[y] to x[stride y + i - low], so position `stride q + phase`
  hears from the taps `first + stride m`, each with y = q + shift - m.

  Returns:
    The slice of the flipped taps, and the padding of dy, that give
    ceil(length / stride) positions.
  """
  shift, first = divmod(phase + padding[0], stride)
  count = len(range(first, taps, stride))
  last = first + (count - 1) * stride
  positions = -(-length // stride)
  return (
    slice(taps - 1 - last, taps - first, stride),
    (count - 1 - shift, positions - steps + shift),
  )


def kernel_gradient(x, dy, strides, padding, size):
  """dk, `[i, j, C, features]`, over parts of the batch that fit the cache."""
  # Else XLA makes x anew from all that came before it, for every tap, or in the
  # order of its transpose.
  x, dy = lax.optimization_barrier((x, dy))
  parts = equal_parts(len(dy), dy.shape[1] * dy.shape[2], PART)
  split = [leaf.reshape(parts, -1, *leaf.shape[1:]) for leaf in (x, dy)]
  by_taps = max(strides) > 1 and x.shape[-1] >= FEWEST_CHANNELS
  part_of = _taps if by_taps else _slide

  def add(index, total):
    x, dy = (lax.dynamic_index_in_dim(leaf, index, 0, False) for leaf in split)
    return total + part_of(x, dy, strides, padding, size)

  nothing = jnp.zeros((*size, x.shape[-1], dy.shape[-1]), x.dtype)
  return lax.fori_loop(0, parts, add, nothing)


def equal_parts(batch: int, positions: int, most: int) -> int:
  """The fewest equal parts of a batch with few enough positions in each.

  >>> equal_parts(250, 784, 16_384), equal_parts(250, 4, 16_384)
  (25, 1)
  >>> equal_parts(7, 10**6, 16_384)
  7
  """
  return next(
    parts
    for parts in range(1, batch + 1)
    if batch % parts == 0
    and (batch // parts * positions <= most or parts == batch)
  )


def _taps(x, dy, strides, padding, size):
  """As one matrix product for every tap, without a transpose of x."""
  around = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
  x = lax.pad(x, jnp.zeros((), x.dtype), around)

  def heard(axis: int, x, tap: int):
    last = tap + (dy.shape[axis] - 1) * strides[axis - 1] + 1
    return lax.slice_in_dim(x, tap, last, strides[axis - 1], axis)

  rows = [heard(1, x, tap) for tap in range(size[0])]
  taps = [[heard(2, row, tap) for tap in range(size[1])] for row in rows]
  return jnp.stack(
    [jnp.stack([summed_products(x, dy) for x in row]) for row in taps]
  )


def summed_products(x, dy):
  """Of channels and features, `[C, O]`, over all positions of `[..., C]` and
  `[..., O]`.
  """
  flat = [leaf.reshape(-1, leaf.shape[-1]) for leaf in (x, dy)]
  return lax.dot_general(*flat, (((0,), (0,)), ((), ())))


def _slide(x, dy, strides, padding, size):
  """As one convolution: x slides over dy, which sums over the batch."""
  reach = [
    (low, taps - 1 + (steps - 1) * stride + 1 - length - low)
    for taps, length, (low, _), steps, stride in zip(
      size, x.shape[1:3], padding, dy.shape[1:3], strides, strict=True
    )
  ]
  conv = canonical((1, 1), tuple(reach), strides)
  dk = conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3))
  return dk.transpose(1, 2, 0, 3)
