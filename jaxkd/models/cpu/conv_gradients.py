"""A convolution and its two gradients in the layout that XLA:CPU runs fast.

`jaxkd.models.cpu.conv` explains the layout and the formulas.
"""

import functools

from jax import lax
from jax.custom_batching import custom_vmap
import jax.numpy as jnp

LAYOUT = ("NHWC", "HWIO", "NHWC")
# Output positions (batch, rows and columns) in a part of a kernel gradient, in
# which dy is the kernel: a larger kernel does not fit the cache.
MAX_POSITIONS = 16_384
# With as many channels the kernel gradient of a strided convolution is computed
# tap by tap.
MIN_CHANNELS = 16


def merges_batches(conv):
  """Decorates `conv(x, kernel)` with the vmap rules of `jaxkd.models.cpu.conv`.

  Args:
    conv: from `[B, ..., C]` and `[i, j, C, O]` to `[B, ..., O]`.
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
  """Returns the NHWC/HWIO/NHWC convolution with these parameters."""

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
  """Computes dx `[B, H, W, C]`, one residue of the positions after the other.

  `size` is the height and width of x.
  """
  # A kernel smaller than the stride is padded, since some residues would have
  # no tap.
  missing = [
    (0, max(stride - taps, 0))
    for stride, taps in zip(strides, kernel.shape[:2], strict=True)
  ]
  kernel = jnp.pad(kernel, (*missing, (0, 0), (0, 0)))
  axes = zip(
    size, dy.shape[1:3], strides, padding, kernel.shape[:2], strict=True
  )
  rows, columns = (
    [_residue_taps(r, *axis) for r in range(axis[2])] for axis in axes
  )
  flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
  gradients = [
    [
      canonical((1, 1), (row_padding, column_padding))(
        dy, flipped[row_taps, column_taps]
      )
      for column_taps, column_padding in columns
    ]
    for row_taps, row_padding in rows
  ]
  if strides == (1, 1):
    return gradients[0][0]
  dx = jnp.stack([jnp.stack(row, axis=3) for row in gradients], axis=2)
  batch, height, row_stride, width, column_stride, channels = dx.shape
  dx = dx.reshape(batch, height * row_stride, width * column_stride, channels)
  return dx[:, : size[0], : size[1]]


def _residue_taps(residue, length, steps, stride, padding, taps):
  """Selects the taps that reach the positions `stride q + residue` of an axis.

  Tap i connects dy[y] with x[stride y + i - low], so position `stride q +
  residue` is reached by the taps `first + stride m`, each from
  y = q + shift - m.

  Args:
    residue: residue of the positions modulo the stride.
    length: number of positions of x.
    steps: number of positions of dy.
    stride: stride of the axis.
    padding: low and high padding of the axis.
    taps: number of taps of the kernel.

  Returns:
    The slice of the flipped taps, and the padding of dy, that give
    ceil(length / stride) positions.
  """
  shift, first = divmod(residue + padding[0], stride)
  count = len(range(first, taps, stride))
  last = first + (count - 1) * stride
  positions = -(-length // stride)
  return (
    slice(taps - 1 - last, taps - first, stride),
    (count - 1 - shift, positions - steps + shift),
  )


def kernel_gradient(x, dy, strides, padding, size):
  """Computes dk `[i, j, C, O]`, in parts of the batch that fit the cache.

  `size` is the height and width of the kernel.
  """
  # Without the barrier XLA computes x again for every tap, or in the order of
  # its transpose.
  x, dy = lax.optimization_barrier((x, dy))
  parts = equal_parts(len(dy), dy.shape[1] * dy.shape[2], MAX_POSITIONS)
  split = [leaf.reshape(parts, -1, *leaf.shape[1:]) for leaf in (x, dy)]
  by_taps = max(strides) > 1 and x.shape[-1] >= MIN_CHANNELS
  gradient = _gradient_by_taps if by_taps else _gradient_by_convolution

  def add(index, total):
    x, dy = (lax.dynamic_index_in_dim(leaf, index, 0, False) for leaf in split)
    return total + gradient(x, dy, strides, padding, size)

  zeros = jnp.zeros((*size, x.shape[-1], dy.shape[-1]), x.dtype)
  return lax.fori_loop(0, parts, add, zeros)


def equal_parts(batch: int, positions: int, max_positions: int) -> int:
  """Returns the smallest number of equal parts of at most `max_positions`.

  Args:
    batch: size of the batch, which the number of parts has to divide.
    positions: number of positions per element of the batch.
    max_positions: largest number of positions of a part; a single element may
      have more.

  >>> equal_parts(250, 784, 16_384), equal_parts(250, 4, 16_384)
  (25, 1)
  >>> equal_parts(7, 10**6, 16_384)
  7
  """
  return next(
    parts
    for parts in range(1, batch + 1)
    if batch % parts == 0
    and (batch // parts * positions <= max_positions or parts == batch)
  )


def _gradient_by_taps(x, dy, strides, padding, size):
  """Computes dk as one matrix product per tap, without a transpose of x."""
  config = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
  x = lax.pad(x, jnp.zeros((), x.dtype), config)

  def inputs_of(tap: int, axis: int, x):
    last = tap + (dy.shape[axis] - 1) * strides[axis - 1] + 1
    return lax.slice_in_dim(x, tap, last, strides[axis - 1], axis)

  rows = [inputs_of(tap, 1, x) for tap in range(size[0])]
  taps = [[inputs_of(tap, 2, row) for tap in range(size[1])] for row in rows]
  return jnp.stack(
    [jnp.stack([summed_products(x, dy) for x in row]) for row in taps]
  )


def summed_products(x, dy):
  """Sums products of `[..., C]` and `[..., O]` over positions to `[C, O]`."""
  flat = [leaf.reshape(-1, leaf.shape[-1]) for leaf in (x, dy)]
  return lax.dot_general(*flat, (((0,), (0,)), ((), ())))


def _gradient_by_convolution(x, dy, strides, padding, size):
  """Computes dk as one convolution of x with dy, which sums over the batch."""
  reach = [
    (low, taps - 1 + (steps - 1) * stride + 1 - length - low)
    for taps, length, (low, _), steps, stride in zip(
      size, x.shape[1:3], padding, dy.shape[1:3], strides, strict=True
    )
  ]
  conv = canonical((1, 1), tuple(reach), strides)
  dk = conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3))
  return dk.transpose(1, 2, 0, 3)
