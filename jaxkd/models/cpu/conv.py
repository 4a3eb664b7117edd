"""A convolution that is fast inside of loops on the CPU.

XLA:CPU has a fast kernel for convolutions with the layout NHWC/HWIO/NHWC.
Outside of loops the compiler rewrites every other layout into that one; in the
body of a `lax.scan` or `lax.while_loop` it does not
(https://github.com/jax-ml/jax/issues/12868), and the gradients of a plain
convolution, which have other layouts, become 5 to 100 times slower. Here both
gradients are NHWC/HWIO/NHWC convolutions of flipped and transposed arrays:

  y[h, w]  = sum_ij x[s h + i - lo, s w + j - lo] k[i, j]
  dx       = for each residue of the position modulo the stride s, a convolution
             of dy with the flipped kernel, so that no zeros are multiplied
  dk       = a convolution of x with dy as its kernel, dilated by s, with batch
             and input channels exchanged

Under `jax.vmap` a batch axis of the inputs is merged with their batch, a batch
axis of the kernels with the output channels. Where both have one, the
convolutions run one after the other, because the grouped convolution that XLA
would use is slower still.

Wide 3x3 kernels of stride 1 use `jaxkd.models.cpu.winograd`. On GPUs and TPUs
`jax.lax.conv_general_dilated` is called.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import functools

import jax
from jax import lax

from jaxkd.models.cpu import winograd
from jaxkd.models.cpu.conv_gradients import (
  LAYOUT,
  canonical,
  input_gradient,
  kernel_gradient,
)
from jaxkd.runtime import compile_target
from jaxkd.types import Array

Pair = tuple[int, int]

_reference_form = contextvars.ContextVar("reference_form", default=False)


@contextlib.contextmanager
def reference_form() -> Iterator[None]:
  """Traces networks inside of this context without the forms for the CPU.

  XLA then counts the operations of the layers as they are defined.
  """
  token = _reference_form.set(True)
  try:
    yield
  finally:
    _reference_form.reset(token)


def on_cpu() -> bool:
  """Returns whether networks are traced in the forms for XLA:CPU."""
  return compile_target.backend() == "cpu" and not _reference_form.get()


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
  """A `jax.lax.conv_general_dilated` that is fast in loops on the CPU.

  It takes the same arguments and returns the same values; a linen network uses
  it by `flax.linen.Conv(..., conv_general_dilated=conv_general_dilated)`.
  Dilated and grouped convolutions, other layouts and other backends are passed
  to `jax.lax`. On the fast path only first-order reverse-mode derivatives are
  defined.

  >>> import jax.numpy as jnp
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


def convolve(
  x: Array,
  kernel: Array,
  strides: Pair = (1, 1),
  padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
) -> Array:
  """A convolution in the form that is fastest on the CPU.

  1x1 kernels and kernels of the size of the image are one matrix product, wide
  3x3 kernels are 36 of them.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[i, j, C, O]`.
    strides: strides of rows and columns.
    padding: low and high padding, of rows and of columns.

  Returns:
    `[B, H', W', O]`.
  """
  unpadded = padding == ((0, 0), (0, 0))
  if unpadded and kernel.shape[:2] == x.shape[1:3]:
    y = x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
    return y[:, None, None]
  if unpadded and kernel.shape[:2] == (1, 1):
    return x[:, :: strides[0], :: strides[1]] @ kernel[0, 0]
  if winograd.is_faster(x, kernel, strides, padding):
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
