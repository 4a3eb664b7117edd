"""MobileNetV2 for small images.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018),
as the Nasty Teacher code trains it on CIFAR: the strides of the first layers
are 1, and every convolution has a bias.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Conv, Dense, DepthwiseConv, batch_norm
from jaxkd.types import Array, Outputs

# Expansion, channels, blocks and the first block's stride, of each stage.
_STAGES = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 1),
  (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
  """A block of expansion, depthwise convolution and linear projection.

  The input is added to the output where their shapes agree.

  Attributes:
    features: output channels.
    expansion: inner channels per input channel.
    stride: stride of the depthwise convolution.
    activation: activation after the first two convolutions.
    dtype: compute dtype.
  """

  features: int
  expansion: int
  stride: int
  activation: Callable[[Array], Array]
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    y = Conv(self.expansion * x.shape[-1], 1, dtype=self.dtype)(x)
    y = self.activation(norm()(y))
    y = DepthwiseConv(3, self.stride, dtype=self.dtype)(y)
    y = self.activation(norm()(y))
    y = norm()(Conv(self.features, 1, dtype=self.dtype)(y))
    return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
  """Seven stages of inverted residuals, global average pool, linear layer.

  The first convolution is 1x1 with a padding of 1, which adds two rows and
  columns to the image. `features` are the outputs of the stages and the pooled
  vector.

  Attributes:
    num_classes: K.
    divisor: divisor of all widths: 1 as published, 2 or 4 for smaller networks.
    activation: activation after the normalisations; ReLU in Skeptical students.
    dtype: compute dtype.
  """

  num_classes: int
  divisor: int = 1
  activation: Callable[[Array], Array] = nn.relu6
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    x = Conv(32 // self.divisor, 1, padding=1, dtype=self.dtype)(images)
    x = self.activation(norm()(x))
    features = []
    for expansion, width, blocks, first_stride in _STAGES:
      for index in range(blocks):
        block = InvertedResidual(
          width // self.divisor,
          expansion,
          1 if index else first_stride,
          self.activation,
          self.dtype,
        )
        x = block(x, train=train)
      features.append(x)
    x = Conv(1280 // self.divisor, 1, dtype=self.dtype)(x)
    x = self.activation(norm()(x)).mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))
