"""The layers of the networks, with PyTorch's default initialisation.

Kernels and biases are drawn from U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), as in
the released code of the field. Parameters are float32; `dtype` is the compute
dtype of a layer.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models.cpu import conv
from jaxkd.models.cpu.depthwise import depthwise
from jaxkd.types import Array, DataSpec, JaxkdError


class Conv(nn.Module):
  """A convolution that is fast in loops on the CPU (`jaxkd.models.cpu.conv`).

  Attributes:
    features: output channels.
    size: side of the kernel.
    stride: stride of rows and columns.
    padding: number of zeros on each side.
    use_bias: whether there is a bias.
    dtype: compute dtype.
  """

  features: int
  size: int
  stride: int = 1
  padding: int = 0
  use_bias: bool = True
  dtype: jnp.dtype = jnp.float32

  def __call__(self, x: Array) -> Array:
    """Maps `[B, H, W, C]` to `[B, H', W', features]`."""
    kernel, bias = self.weights(x.shape[-1])
    y = conv.conv_general_dilated(
      x.astype(self.dtype),
      kernel,
      (self.stride, self.stride),
      ((self.padding, self.padding),) * 2,
      dimension_numbers=conv.LAYOUT,
    )
    return y if bias is None else y + bias

  @nn.compact
  def weights(self, channels: int) -> tuple[Array, Array | None]:
    """Returns kernel `[size, size, channels, features]` and bias in `dtype`."""
    shape = (self.size, self.size, channels, self.features)
    return _weights(self, shape, self.use_bias)


class DepthwiseConv(nn.Module):
  """A depthwise convolution that is fast in loops on the CPU.

  Attributes:
    size: side of the kernel; the input is padded by half of it on each side.
    stride: stride of rows and columns.
    use_bias: whether there is a bias.
    dtype: compute dtype.
  """

  size: int
  stride: int = 1
  use_bias: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[B, H, W, C]` to `[B, ceil(H / stride), ceil(W / stride), C]`."""
    shape = (self.size, self.size, 1, x.shape[-1])
    kernel, bias = _weights(self, shape, self.use_bias)
    x = x.astype(self.dtype)
    padding = ((self.size // 2, self.size // 2),) * 2
    y = depthwise(x, kernel, (self.stride, self.stride), padding)
    return y if bias is None else y + bias


class Dense(nn.Module):
  """A linear layer.

  Attributes:
    features: number of outputs.
    use_bias: whether there is a bias.
    dtype: compute dtype.
  """

  features: int
  use_bias: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[..., D]` to `[..., features]`."""
    shape = (x.shape[-1], self.features)
    kernel, bias = _weights(self, shape, self.use_bias)
    y = x.astype(self.dtype) @ kernel
    return y if bias is None else y + bias


_batch_axis = contextvars.ContextVar("batch_axis", default=None)


@contextlib.contextmanager
def batch_norm_over(axis: str | None) -> Iterator[None]:
  """Synchronises batch normalisation over a mapped axis, while tracing inside.

  Args:
    axis: name of the mapped axis of devices, over whose batches the statistics
      in training are averaged; None for the statistics of each device.
  """
  token = _batch_axis.set(axis)
  try:
    yield
  finally:
    _batch_axis.reset(token)


def batch_norm(
  *, train: bool, dtype: jnp.dtype
) -> functools.partial[nn.BatchNorm]:
  """Returns a constructor of `nn.BatchNorm` layers with PyTorch's constants.

  PyTorch's momentum 0.1 is flax's 0.9. The running variance is biased here and
  unbiased in PyTorch.
  """
  return functools.partial(
    nn.BatchNorm,
    axis_name=_batch_axis.get(),
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
  )


def check_side(images: Array, side: int, model: str) -> None:
  """Checks that `images` are `[B, side, side, C]`.

  Args:
    images: the batch.
    side: required height and width.
    model: name of the network, for the message.

  Raises:
    JaxkdError: if they have another size.
  """
  if images.shape[1:3] != (side, side):
    size = "x".join(map(str, images.shape[1:3]))
    raise JaxkdError(
      f"{model} takes {side}x{side} images, not {size}; set image_size={side}, "
      "or choose a network of any size, such as resnet8_16."
    )


def _weights(
  module: nn.Module, shape: tuple[int, ...], use_bias: bool
) -> tuple[Array, Array | None]:
  bound = 1 / math.sqrt(math.prod(shape[:-1]))

  def uniform(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

  kernel = module.param("kernel", uniform, shape).astype(module.dtype)
  if not use_bias:
    return kernel, None
  bias = module.param("bias", uniform, shape[-1:])
  return kernel, bias.astype(module.dtype)


def to_pixels(inputs: Array, spec: DataSpec) -> Array:
  """Maps normalised inputs to pixels, without clipping."""
  return inputs * jnp.asarray(spec.std) + jnp.asarray(spec.mean)


def clip_to_pixels(inputs: Array, spec: DataSpec) -> Array:
  """Clips normalised inputs to the range of pixels in [0, 1]."""
  mean, std = jnp.asarray(spec.mean), jnp.asarray(spec.std)
  return jnp.clip(inputs, -mean / std, (1 - mean) / std)
