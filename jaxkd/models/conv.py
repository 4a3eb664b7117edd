"""A convolution that stays fast inside loops on the CPU, and a max pool.

XLA:CPU has a fast kernel for convolutions laid out NHWC/HWIO/NHWC. Outside of
loops the compiler rewrites every other layout into that one; in the body of a
`lax.scan` or `lax.while_loop` it does not
(https://github.com/jax-ml/jax/issues/12868), and the gradients of a plain
convolution, which have other layouts, become 5 to 100 times slower. Here both
gradients are written as NHWC/HWIO/NHWC convolutions of arrays that were flipped
and transposed by hand:

  y[h, w]  = sum_ij x[s h + i - lo, s w + j - lo] k[i, j]
  dx       = one convolution of dy with the flipped kernel per output phase
             (position modulo the stride s), so that no zeros are multiplied
  dk       = a convolution of x with dy as its kernel, dilated by s, in which
             batch and input channels have changed places

Under `jax.vmap` batched inputs join the batch, batched kernels join the output
channels, and where both are batched the convolutions run one after the other:
the grouped convolution that XLA would make of them is slower still.

GPUs and TPUs keep `jax.lax.conv_general_dilated`.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import functools

import jax
from jax import lax
from jax.custom_batching import custom_vmap
import jax.numpy as jnp

from jaxkd.types import Array

Pair = tuple[int, int]
LAYOUT = ("NHWC", "HWIO", "NHWC")


_as_defined = contextvars.ContextVar("as_defined", default=False)


@contextlib.contextmanager
def as_defined() -> Iterator[None]:
  """Networks traced inside have their plain form, so that XLA counts the work
  of the definition and not of a faster form.
  """
  token = _as_defined.set(True)
  try:
    yield
  finally:
    _as_defined.reset(token)


def on_cpu() -> bool:
  """Whether the networks are traced in the form that suits XLA:CPU."""
  return jax.default_backend() == "cpu" and not _as_defined.get()


def conv_general_dilated(
  lhs: Array,
  rhs: Array,
  window_strides,
  padding,
  lhs_dilation=None,
  rhs_dilation=None,
  dimension_numbers=None,
  feature_group_count: int = 1,
  batch_group_count: int = 1,
  precision=None,
  preferred_element_type=None,
  **kwargs,
) -> Array:
  """`jax.lax.conv_general_dilated`, fast in loops on the CPU.

  Takes the same arguments and gives the same values, so that a network needs no
  more than `flax.linen.Conv(..., conv_general_dilated=conv_general_dilated)`.
  Dilated and grouped convolutions, other layouts and other backends are handed
  to `jax.lax` as they are. On the fast path there is a reverse-mode derivative
  of first order, and no other.

  >>> images, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
  >>> conv_general_dilated(
  ...   images, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT
  ... ).shape
  (2, 4, 4, 5)
  """
  plain = (
    lhs.ndim == 4
    and feature_group_count == batch_group_count == 1
    and set(lhs_dilation or (1,)) | set(rhs_dilation or (1,)) == {1}
    and preferred_element_type in (None, lhs.dtype)
    and lhs.dtype == rhs.dtype
    and lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    == lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
  )
  if plain and on_cpu():
    strides = tuple(window_strides)
    if isinstance(padding, str):
      padding = lax.padtype_to_pads(
        lhs.shape[1:3], rhs.shape[:2], strides, padding
      )
    padding = tuple((int(low), int(high)) for low, high in padding)
    return convolve(lhs, rhs, strides, padding)
  return lax.conv_general_dilated(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation=lhs_dilation,
    rhs_dilation=rhs_dilation,
    dimension_numbers=dimension_numbers,
    feature_group_count=feature_group_count,
    batch_group_count=batch_group_count,
    precision=precision,
    preferred_element_type=preferred_element_type,
    **kwargs,
  )


def max_pool(images: Array, window: int = 2, stride: int = 2) -> Array:
  """Max pooling without padding, as maxima of strided slices.

  The gradient of `jax.lax.reduce_window` is 20 times slower on the CPU. Equal
  maxima share the gradient here (a quarter each in a 2x2 window), while
  `reduce_window` and PyTorch give all of it to the first.

  Args:
    images: `[B, H, W, C]`.
    window: side of the square window.
    stride: distance of the windows; what does not fill a window is dropped.

  Returns:
    `[B, (H - window) // stride + 1, (W - window) // stride + 1, C]`.
  """
  for axis in (1, 2):
    span = (images.shape[axis] - window) // stride * stride + 1
    slices = [
      lax.slice_in_dim(images, start, start + span, stride, axis)
      for start in range(window)
    ]
    images = functools.reduce(jnp.maximum, slices)
  return images


def convolve(
  x: Array,
  kernel: Array,
  strides: Pair = (1, 1),
  padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
) -> Array:
  """The CPU's convolution; two kinds of it are one matrix product.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[i, j, C, O]`.
    strides: of rows and columns.
    padding: low and high, of rows and columns.

  Returns:
    `[B, H', W', O]`.
  """
  unpadded = padding == ((0, 0), (0, 0))
  if unpadded and kernel.shape[:2] == x.shape[1:3]:
    y = x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
    return y[:, None, None]
  if unpadded and kernel.shape[:2] == (1, 1):
    return x[:, :: strides[0], :: strides[1]] @ kernel[0, 0]
  return _conv(x, kernel, strides, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, kernel, strides, padding):
  return _canonical(strides, padding)(x, kernel)


def _conv_forward(x, kernel, strides, padding):
  return _conv(x, kernel, strides, padding), (x, kernel)


def _conv_backward(strides, padding, residuals, dy):
  x, kernel = residuals
  return (
    _input_gradient(dy, kernel, strides, padding, x.shape[1:3]),
    _kernel_gradient(x, dy, strides, padding, kernel.shape[:2]),
  )


_conv.defvjp(_conv_forward, _conv_backward)


@functools.cache
def _canonical(strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
  """NHWC/HWIO/NHWC convolution with the batching rules of the module."""

  @custom_vmap
  def conv(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      strides,
      padding,
      rhs_dilation=dilation,
      dimension_numbers=LAYOUT,
    )

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


def _input_gradient(dy, kernel, strides, padding, size):
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
      _canonical((1, 1), (row_padding, column_padding))(
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


def _kernel_gradient(x, dy, strides, padding, size):
  """dk, `[i, j, C, features]`: x slides over dy, summed over the batch."""
  reach = [
    (low, taps - 1 + (steps - 1) * stride + 1 - length - low)
    for taps, length, (low, _), steps, stride in zip(
      size, x.shape[1:3], padding, dy.shape[1:3], strides, strict=True
    )
  ]
  conv = _canonical((1, 1), tuple(reach), strides)
  dk = conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3))
  return dk.transpose(1, 2, 0, 3)
