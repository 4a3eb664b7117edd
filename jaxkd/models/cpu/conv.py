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

Wide 3x3 kernels of stride 1 take `jaxkd.models.cpu.winograd` instead. GPUs and
TPUs keep `jax.lax.conv_general_dilated`.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import functools

import jax
from jax import lax
import jax.numpy as jnp

from jaxkd.models.cpu import winograd
from jaxkd.models.cpu.conv_gradients import (
  LAYOUT,
  canonical,
  input_gradient,
  kernel_gradient,
)
from jaxkd.types import Array

Pair = tuple[int, int]


_reference_form = contextvars.ContextVar("as_defined", default=False)


@contextlib.contextmanager
def reference_form() -> Iterator[None]:
  """Networks traced inside have their plain form, so that XLA counts the work
  of the definition and not of a faster form.
  """
  token = _reference_form.set(True)
  try:
    yield
  finally:
    _reference_form.reset(token)


def on_cpu() -> bool:
  """Whether the networks are traced in the form that suits XLA:CPU."""
  return jax.default_backend() == "cpu" and not _reference_form.get()


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
  """The CPU's convolution; two kinds of it are one matrix product, and wide
  ones of 3x3 are 36.

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
  if winograd.pays(x, kernel, strides, padding):
    return winograd.convolve(x, kernel, padding)
  return _conv(x, kernel, strides, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, kernel, strides, padding):
  return canonical(strides, padding)(x, kernel)


def _conv_forward(x, kernel, strides, padding):
  return _conv(x, kernel, strides, padding), (x, kernel)


def _conv_backward(strides, padding, residuals, dy):
  x, kernel = residuals
  return (
    input_gradient(dy, kernel, strides, padding, x.shape[1:3]),
    kernel_gradient(x, dy, strides, padding, kernel.shape[:2]),
  )


_conv.defvjp(_conv_forward, _conv_backward)
