"""The layers of the zoo: PyTorch's default initialisation, and one convolution.

PyTorch draws the kernels and biases of its linear and convolution layers from
U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)); the networks of the field were trained
from there.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models import conv
from jaxkd.types import Array


class Weights(nn.Module):
  """Kernel and bias of a layer, in PyTorch's default initialisation.

  Attributes:
    shape: of the kernel, output features last.
    bias: whether there is a bias.
    dtype: of what is returned; the parameters are float32.
  """

  shape: tuple[int, ...]
  bias: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self) -> tuple[Array, Array | float]:
    """The kernel, and the bias `[features]` (0 without one)."""
    bound = 1 / math.sqrt(math.prod(self.shape[:-1]))

    def uniform(key: Array, shape: tuple[int, ...]) -> Array:
      return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    kernel = self.param("kernel", uniform, self.shape).astype(self.dtype)
    if not self.bias:
      return kernel, 0.0
    bias = self.param("bias", uniform, self.shape[-1:])
    return kernel, bias.astype(self.dtype)
