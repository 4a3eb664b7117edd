"""Convolutions that double the side of a map, fast in loops on the CPU.

Nearest upsampling before a 3x3 convolution with padding 1, and a transposed 4x4
convolution of stride 2 with padding 1, both equal four 2x2 convolutions of the
small map, one for each parity (p, q) of the output position. Along one axis

  upsampled:   y[2Y]     = x[Y - 1] k[0] + x[Y] (k[1] + k[2])
               y[2Y + 1] = x[Y] (k[0] + k[1]) + x[Y + 1] k[2]
  transposed:  y[2Y]     = x[Y - 1] k[3] + x[Y] k[1]
               y[2Y + 1] = x[Y] k[2] + x[Y + 1] k[0]

which takes 4/9 and 1/4 of the multiplications of the definitions.

On GPUs and TPUs the definitions are computed.
"""

from collections.abc import Callable

from jax import lax
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.types import Array


def upsampled(x: Array, kernel: Array) -> Array:
  """Repeats rows and columns and convolves the result with padding 1.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[3, 3, C, O]`.

  Returns:
    `[B, 2 H, 2 W, O]`.

  >>> upsampled(jnp.ones((1, 2, 3, 4)), jnp.ones((3, 3, 4, 5))).shape
  (1, 4, 6, 5)
  """
  if conv.on_cpu():
    return _by_parity(x, kernel, _upsampled_taps)
  x = x.repeat(2, axis=1).repeat(2, axis=2)
  return conv.conv_general_dilated(
    x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=conv.LAYOUT
  )


def transposed(x: Array, kernel: Array) -> Array:
  """Computes the transposed convolution of stride 2 with padding 1.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[4, 4, C, O]`; tap i of row Y goes to row 2 Y + i - 1, as in
      PyTorch.

  Returns:
    `[B, 2 H, 2 W, O]`.

  >>> transposed(jnp.ones((1, 2, 3, 4)), jnp.ones((4, 4, 4, 5))).shape
  (1, 4, 6, 5)
  """
  if conv.on_cpu():
    return _by_parity(x, kernel, _transposed_taps)
  return lax.conv_general_dilated(
    x,
    jnp.flip(kernel, (0, 1)),
    (1, 1),
    ((2, 2), (2, 2)),
    lhs_dilation=(2, 2),
    dimension_numbers=conv.LAYOUT,
  )


def _upsampled_taps(k: Array, parity: int) -> Array:
  if parity == 0:
    return jnp.stack([k[0], k[1] + k[2]])
  return jnp.stack([k[0] + k[1], k[2]])


def _transposed_taps(k: Array, parity: int) -> Array:
  return k[3::-2] if parity == 0 else k[2::-2]


def _by_parity(
  x: Array, kernel: Array, taps: Callable[[Array, int], Array]
) -> Array:
  """Interleaves one convolution for each parity of the output position."""

  def outputs(p: int, q: int) -> Array:
    rows = taps(kernel, p)
    columns = taps(rows.swapaxes(0, 1), q).swapaxes(0, 1)
    return conv.convolve(x, columns, (1, 1), ((1 - p, p), (1 - q, q)))

  y = jnp.stack(
    [jnp.stack([outputs(p, 0), outputs(p, 1)], axis=3) for p in (0, 1)], axis=2
  )
  batch, height, _, width, _, features = y.shape
  return y.reshape(batch, 2 * height, 2 * width, features)
