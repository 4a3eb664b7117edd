"""LeNet's first two layers in the space-to-depth layout, for the CPU.

Convolutions with 1, 3 or 6 input channels are too narrow for the vector units.
The space-to-depth layout of factor f moves pixels into channels:

  S(x)[Y, X, (p, q, c)] = x[f Y + p, f X + q, c],     0 <= p, q < f.

For y[h, w] = sum_ij x[h + i, w + j] k[i, j], a convolution of stride 1 without
padding, write h = f Y + a and h + i = f (Y + U) + p, so that i = f U + p - a,
and for the columns with b, V and q in the same way. Then

  S(y)[Y, X, (a, b)] = sum_UV S(x)[Y + U, X + V, (p, q)] K[U, V],
  K[U, V, (p, q), (a, b)] = k[f U + p - a, f V + q - b], and 0 outside of k,

which again is a convolution of stride 1, with ceil((k + f - 1) / f) taps per
axis and f^2 times as many channels. It multiplies some zeros, and is several
times faster nevertheless.

2x2 max pooling takes the maximum over (a, b) = (2 A + s, 2 B + t) for s, t in
{0, 1} and leaves (A, B), the space-to-depth layout of factor f / 2. With the
output channels in the order (s, t, A, B, o), it is the maximum of four
contiguous channel slices. LeNet starts with f = 4 and is back in the plain
layout after two convolutions and two pools.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.types import Array

Pair = tuple[int, int]
Layer = tuple[Array, Array]  # kernel [k, k, C, O] and bias [O]


def fits(shape: tuple[int, ...], size: int) -> bool:
  """Returns whether `two_layers` can be computed for images of this shape.

  Args:
    shape: shape of the images, `(B, H, W, C)`.
    size: k, the side of both kernels.
  """
  firsts = [side - size + 1 for side in shape[1:3]]
  seconds = [first // 2 - size + 1 for first in firsts]
  return (
    all(side % 4 == 0 for side in (*shape[1:3], *firsts))
    and all(side % 2 == 0 for side in seconds)
    and min(seconds) > 0
  )


def two_layers(
  images: Array, first: Layer, second: Layer
) -> tuple[Array, Array]:
  """Applies two times: convolution without padding, 2x2 max pool, bias, ReLU.

  The pool comes before bias and ReLU, which gives the same result as after them
  and a quarter of the work.

  Args:
    images: `[B, H, W, C]`, of a shape for which `fits` is true.
    first: kernel and bias of the first layer.
    second: kernel and bias of the second layer.

  Returns:
    The outputs of both layers in the plain layout, `[B, H', W', O]`.
  """
  x = space_to_depth(images, 4)
  x = _pool(_conv(x, space_to_depth_kernel(first[0], 4)))
  x = jax.nn.relu(x + jnp.tile(first[1], 4))
  y = _pool(_conv(x, space_to_depth_kernel(second[0], 2)))
  return depth_to_space(x, 2), jax.nn.relu(y + second[1])


def space_to_depth_kernel(kernel: Array, factor: int) -> Array:
  """Computes the kernel K of the module's docstring.

  Its outputs have the order (s, t, A, B, o), as the pool needs them.

  Args:
    kernel: `[k, k, C, O]`.
    factor: f, even.

  Returns:
    `[u, u, f f C, f f O]` with u = ceil((k + f - 1) / f).
  """
  size, _, channels, features = kernel.shape
  taps = -(-(size + factor - 1) // factor)

  def shifts(array: Array, axis: int) -> Array:
    """Puts `array[i]` at f U + p = i + a, for each a in a new last axis."""
    pads = [[(0, 0)] * array.ndim for _ in range(factor)]
    for a, pad in enumerate(pads):
      pad[axis] = (a, taps * factor - size - a)
    return jnp.stack([jnp.pad(array, pad) for pad in pads], axis=-1)

  half = factor // 2
  k = shifts(shifts(kernel, 0), 1)
  k = k.reshape(
    taps, factor, taps, factor, channels, features, half, 2, half, 2
  )
  # (U, p, V, q, c, o, A, s, B, t) -> (U, V, p, q, c, s, t, A, B, o)
  k = k.transpose(0, 2, 1, 3, 4, 7, 9, 6, 8, 5)
  return k.reshape(taps, taps, factor**2 * channels, factor**2 * features)


def space_to_depth(images: Array, factor: int) -> Array:
  """Rearranges `[B, H, W, C]` to `[B, H / f, W / f, f f C]`."""
  batch, height, width, channels = images.shape
  rows, columns = height // factor, width // factor
  x = images.reshape(batch, rows, factor, columns, factor, channels)
  return x.swapaxes(2, 3).reshape(batch, rows, columns, -1)


def depth_to_space(x: Array, factor: int) -> Array:
  """Rearranges `[B, H / f, W / f, f f C]` to `[B, H, W, C]`."""
  batch, rows, columns, channels = x.shape
  x = x.reshape(batch, rows, columns, factor, factor, channels // factor**2)
  x = x.swapaxes(2, 3)
  return x.reshape(batch, rows * factor, columns * factor, -1)


def padded(
  images: Array, size: int, padding: tuple[Pair, Pair], factor: int
) -> Array:
  """Pads images for a convolution, and rearranges them.

  Args:
    images: `[B, H, W, C]`.
    size: k, the side of the kernel.
    padding: low and high padding, of rows and of columns; the outputs have
      sides that are multiples of f.
    factor: f.

  Returns:
    `[B, H', W', f f C]`, of which a convolution with `space_to_depth_kernel`
    has H' - u + 1 rows of outputs.
  """
  taps = -(-(size + factor - 1) // factor)
  pads = []
  for side, (low, high) in zip(images.shape[1:3], padding, strict=True):
    outputs = side + low + high - size + 1
    pads.append((low, outputs + factor * (taps - 1) - side - low))
  return space_to_depth(jnp.pad(images, ((0, 0), *pads, (0, 0))), factor)


def conv_and_pool(x: Array, kernel: Array, factor: int) -> Array:
  """Convolves images in the space-to-depth layout, with a 2x2 max pool.

  Args:
    x: `[B, H, W, f f C]`.
    kernel: the kernel `[k, k, C, O]` in the plain layout.
    factor: f, even.

  Returns:
    The pooled outputs with factor f / 2, `[B, H', W', f f O / 4]`.
  """
  return _pool(_conv(x, space_to_depth_kernel(kernel, factor)))


@jax.custom_vjp
def _conv(x: Array, kernel: Array) -> Array:
  """A convolution whose gradients are matrix products."""
  return conv.convolve(x, kernel)


def _conv_backward(residuals, dy):
  x, kernel = residuals
  taps, _, channels, features = kernel.shape
  height, width = dy.shape[1:3]

  def add_row(i, dx):
    """Adds the contribution of tap row i, whose columns overlap."""
    row = lax.dynamic_index_in_dim(kernel, i, keepdims=False)
    row = dy @ row.transpose(2, 0, 1).reshape(features, taps * channels)
    row = sum(
      jnp.pad(part, ((0, 0), (0, 0), (j, taps - 1 - j), (0, 0)))
      for j, part in enumerate(jnp.split(row, taps, axis=-1))
    )
    row += lax.dynamic_slice_in_dim(dx, i, height, axis=1)
    return lax.dynamic_update_slice_in_dim(dx, row, i, axis=1)

  # A loop, because otherwise XLA repeats the sum over the taps for each of the
  # four slices of the pool before.
  dx = lax.fori_loop(0, taps, add_row, jnp.zeros_like(x))

  def kernel_tap(index):
    start = (0, index // taps, index % taps, 0)
    shifted = lax.dynamic_slice(x, start, (len(x), height, width, channels))
    return jnp.einsum("bhwc,bhwo->co", shifted, dy)

  # A loop too: all taps at once would be one wide product, whose operand XLA
  # gathers number by number.
  dk = lax.map(kernel_tap, jnp.arange(taps**2))
  return dx, dk.reshape(kernel.shape)


_conv.defvjp(lambda x, kernel: (_conv(x, kernel), (x, kernel)), _conv_backward)


@jax.custom_vjp
def _pool(y: Array) -> Array:
  """Maximum of four channel slices; equal maxima share the gradient."""
  return functools.reduce(jnp.maximum, jnp.split(y, 4, axis=-1))


def _pool_forward(y):
  maximum = _pool(y)
  return maximum, (y, maximum)


def _pool_backward(residuals, dy):
  y, maximum = residuals
  is_maximum = y.reshape(*y.shape[:3], 4, -1) == maximum[:, :, :, None]
  # Counting here in place of the forward pass saves a residual array, which
  # takes a sixth of the time of CAKE's step.
  share = dy / is_maximum.sum(3).astype(dy.dtype)
  gradient = jnp.where(is_maximum, share[:, :, :, None], 0)
  return (gradient.reshape(y.shape),)


_pool.defvjp(_pool_forward, _pool_backward)
