"""A depthwise convolution that is fast inside of loops on the CPU.

XLA:CPU has no fast kernel for grouped convolutions: in the body of a `lax.scan`
their gradients are ten to a hundred times slower than the arithmetic. Since
channels do not mix, the convolution and the gradient of its input are one
elementwise product per tap,

  y[h, w, c]   = sum_ij x[s h + i - p, s w + j - p, c] k[i, j, c],

and the gradient of the kernel accumulates products image by image, so that they
stay in the cache; it sums over positions once, at the end. On GPUs and TPUs the
grouped convolution of `jax.lax` is called.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from jaxkd.models.cpu.conv import LAYOUT, on_cpu
from jaxkd.types import Array

Pair = tuple[int, int]


def depthwise(
  x: Array, kernel: Array, strides: Pair, padding: tuple[Pair, Pair]
) -> Array:
  """Convolves each channel with a kernel of its own.

  On the CPU only first-order reverse-mode derivatives are defined.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[i, j, 1, C]`, of the same dtype.
    strides: strides of rows and columns.
    padding: low and high padding, of rows and of columns.

  Returns:
    `[B, H', W', C]` with H' = (H + padding - i) // stride + 1.

  >>> x, kernel = jnp.ones((2, 7, 8, 3)), jnp.ones((3, 3, 1, 3))
  >>> depthwise(x, kernel, (2, 2), ((1, 1), (1, 1))).shape
  (2, 4, 4, 3)
  """
  if on_cpu():
    return depthwise_on_cpu(x, kernel, strides, padding)
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=LAYOUT,
    feature_group_count=x.shape[-1],
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x, kernel, strides, padding):
  return _correlate(_pad(x, padding), kernel, strides)


def _forward(x, kernel, strides, padding):
  return _depthwise(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, residuals, dy):
  x, kernel = residuals
  # Padding of dy, with zeros between its entries, that gives dx the shape of x.
  edges = [
    (
      taps - 1 - low,
      length + low - (steps - 1) * stride - 1,
      stride - 1,
    )
    for length, steps, taps, stride, (low, _) in zip(
      x.shape[1:3],
      dy.shape[1:3],
      kernel.shape[:2],
      strides,
      padding,
      strict=True,
    )
  ]
  zero = jnp.zeros((), dy.dtype)
  spread = lax.pad(dy, zero, ((0, 0, 0), *edges, (0, 0, 0)))
  dx = _correlate(spread, jnp.flip(kernel, (0, 1)), (1, 1))
  dk = _kernel_gradient(_pad(x, padding), dy, kernel.shape, strides)
  return dx, dk.astype(kernel.dtype)


_depthwise.defvjp(_forward, _backward)
# Jitted, so that layers of equal shape are traced once per network.
depthwise_on_cpu = jax.jit(_depthwise, static_argnums=(2, 3))


def _correlate(x, kernel, strides):
  """Correlates `x` with the kernel, without padding."""
  taps = kernel.reshape(-1, kernel.shape[-1])
  windows = _windows(x, kernel.shape, strides)
  return sum(window * taps[index] for index, window in enumerate(windows))


def _kernel_gradient(x, dy, shape, strides):
  """Computes dk `[i, j, 1, C]` in float32 from the padded input."""

  def add(index, totals):
    image, change = (
      lax.dynamic_slice_in_dim(leaf, index, 1) for leaf in (x, dy)
    )
    windows = _windows(image, shape, strides)
    return tuple(
      total + window * change
      for total, window in zip(totals, windows, strict=True)
    )

  zeros = (jnp.zeros((1, *dy.shape[1:]), jnp.float32),) * (shape[0] * shape[1])
  totals = lax.fori_loop(0, len(x), add, zeros)
  return jnp.stack([total.sum((0, 1, 2)) for total in totals]).reshape(shape)


def _windows(x, shape, strides):
  """Returns the inputs of each tap from `x [N, H, W, C]`, row by row."""
  images, height, width, channels = x.shape
  rows = (height - shape[0]) // strides[0] * strides[0] + 1
  columns = (width - shape[1]) // strides[1] * strides[1] + 1
  return [
    lax.slice(
      x,
      (0, i, j, 0),
      (images, i + rows, j + columns, channels),
      (1, *strides, 1),
    )
    for i in range(shape[0])
    for j in range(shape[1])
  ]


def _pad(x, padding):
  return jnp.pad(x, ((0, 0), *padding, (0, 0)))
