"""The layers of the zoo: PyTorch's default initialisation, and one convolution.

PyTorch draws the kernels and biases of its linear and convolution layers from
U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)); the networks of the field were trained
from there. Parameters are float32 whatever a layer computes in.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models import conv
from jaxkd.types import Array

Dtype = jnp.dtype | type


def fan_in_uniform(fan_in: int) -> nn.initializers.Initializer:
  """U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))."""
  bound = 1 / math.sqrt(fan_in)

  def draw(key: Array, shape, dtype=jnp.float32) -> Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return draw


def weights(
  module: nn.Module, shape: tuple[int, ...], dtype: Dtype, bias: bool = True
) -> tuple[Array, Array | float]:
  """The kernel of `module`, output features last, and its bias (or 0)."""
  draw = fan_in_uniform(math.prod(shape[:-1]))
  kernel = module.param("kernel", draw, shape).astype(dtype)
  if not bias:
    return kernel, 0.0
  return kernel, module.param("bias", draw, shape[-1:]).astype(dtype)


def convolve(
  x: Array, kernel: Array, stride: int = 1, padding: int = 0
) -> Array:
  """`x [B, H, W, C]` with `kernel [k, k, C, O]`; zeros around the image."""
  return conv.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(padding, padding)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


class Conv(nn.Module):
  """Convolution with PyTorch's initialisation and padding.

  Attributes:
    features: output channels.
    size: side of the kernel.
    stride: in both directions.
    padding: zeros on every side.
    bias: whether there is one.
    dtype: of the computation.
  """

  features: int
  size: int
  stride: int = 1
  padding: int = 0
  bias: bool = True
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel, bias = weights(self, shape, self.dtype, self.bias)
    return convolve(x.astype(self.dtype), kernel, self.stride, self.padding) + (
      bias
    )


class Dense(nn.Module):
  """Linear layer with PyTorch's initialisation."""

  features: int
  bias: bool = True
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (x.shape[-1], self.features)
    kernel, bias = weights(self, shape, self.dtype, self.bias)
    return x.astype(self.dtype) @ kernel + bias


def batch_norm(train: bool, dtype: Dtype, **options) -> nn.BatchNorm:
  """PyTorch's batch normalisation: eps 1e-5, a tenth of the new statistics.

  The running variance is the biased one, where PyTorch keeps the unbiased.
  """
  return nn.BatchNorm(
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
    **options,
  )


def flatten(x: Array) -> Array:
  """`[B, ...]` to `[B, D]`."""
  return x.reshape(x.shape[0], -1)
