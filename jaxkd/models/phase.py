"""LeNet's narrow convolutions in phase layout, several times faster on the CPU.

A convolution with 1, 3 or 6 input channels is too narrow for the vector units.
The phase layout (space to depth) of factor f trades space for channels:

  P_f(x)[Y, X, (p, q, c)] = x[f Y + p, f X + q, c],     0 <= p, q < f.

For y[h, w] = sum_ij x[h + i, w + j] k[i, j], a stride-1 convolution without
padding, write h = f Y + a and h + i = f (Y + U) + p, so that i = f U + p - a,
and likewise for the columns. Then

  P_f(y)[Y, X, (a, b)] = sum_UV P_f(x)[Y + U, X + V, (p, q)] K[U, V],
  K[U, V, (p, q), (a, b)] = k[f U + p - a, f V + q - b],  0 outside of k:

again a stride-1 convolution, of ceil((k + f - 1) / f) taps per axis and f^2
times as many channels. It multiplies some zeros and is faster all the same.

2x2 max pooling takes the maximum over (a, b) = (2 A + s, 2 B + t) for s, t in
{0, 1} and leaves the phase layout (A, B) of factor f / 2. With the output
channels in the order (s, t, A, B, o), the pool-major order, it is the maximum
of four contiguous channel slices. LeNet starts with f = 4 and, after two
convolutions and two pools, is back in the plain layout.
"""

import functools

import jax.numpy as jnp

from jaxkd.models import conv
from jaxkd.types import Array


def conv_pool(x: Array, kernel: Array, factor: int) -> Array:
  """A convolution without padding, then a 2x2 max pool, in phase layout.

  Args:
    x: `[B, H / f, W / f, f f C]`, the phase layout of factor f.
    kernel: `[k, k, C, O]`, of the plain convolution.
    factor: f, even; it divides H - k + 1 and W - k + 1.

  Returns:
    `[B, (H - k + 1) / f, (W - k + 1) / f, f f O / 4]`, the phase layout of
    factor f / 2.
  """
  y = conv(x, phase_kernel(kernel, factor))
  return functools.reduce(jnp.maximum, jnp.split(y, 4, axis=-1))


def phase_kernel(kernel: Array, factor: int) -> Array:
  """K of the module's docstring, its outputs in pool-major order.

  Args:
    kernel: `[k, k, C, O]`.
    factor: f, even.

  Returns:
    `[u, u, f f C, f f O]` with u = ceil((k + f - 1) / f).
  """
  size, _, channels, features = kernel.shape
  taps = -(-(size + factor - 1) // factor)

  def shifted(array: Array, axis: int) -> Array:
    """Entry i of `axis` at f U + p = i + a, for each a, in a new last axis."""
    pads = [[(0, 0)] * array.ndim for _ in range(factor)]
    for a, pad in enumerate(pads):
      pad[axis] = (a, taps * factor - size - a)
    return jnp.stack([jnp.pad(array, pad) for pad in pads], axis=-1)

  half = factor // 2
  k = shifted(shifted(kernel, 0), 1)
  k = k.reshape(
    taps, factor, taps, factor, channels, features, half, 2, half, 2
  )
  # (U, p, V, q, c, o, A, s, B, t) -> (U, V, p, q, c, s, t, A, B, o)
  k = k.transpose(0, 2, 1, 3, 4, 7, 9, 6, 8, 5)
  return k.reshape(
    taps, taps, factor**2 * channels, factor**2 * features
  )


def to_phases(images: Array, factor: int) -> Array:
  """`[B, H, W, C]` to `[B, H / f, W / f, f f C]`."""
  batch, height, width, channels = images.shape
  x = images.reshape(
    batch, height // factor, factor, width // factor, factor, channels
  )
  return x.swapaxes(2, 3).reshape(
    batch, height // factor, width // factor, factor**2 * channels
  )


def from_phases(x: Array, factor: int) -> Array:
  """`[B, H / f, W / f, f f C]` to `[B, H, W, C]`."""
  batch, height, width, channels = x.shape
  x = x.reshape(
    batch, height, width, factor, factor, channels // factor**2
  )
  return x.swapaxes(2, 3).reshape(
    batch, height * factor, width * factor, channels // factor**2
  )
