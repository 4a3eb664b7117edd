"""MobileNetV2: for small images, and torchvision's.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018).
The Nasty Teacher code trains it on CIFAR with strides of 1 in the first layers
and a bias in every convolution.
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
# torchvision, as published, has a stride of 2 before the 160 channels.
_TORCHVISION_STAGES = (*_STAGES[:5], (6, 160, 3, 2), _STAGES[6])


class InvertedResidual(nn.Module):
  """A block of expansion, depthwise convolution and linear projection.

  The input is added to the output where their shapes agree.

  Attributes:
    features: output channels.
    expansion: inner channels per input channel.
    stride: stride of the depthwise convolution.
    activation: activation after the first two convolutions.
    dtype: compute dtype.
    torchvision: whether convolutions have no bias, and an expansion of 1 is
      left out.
  """

  features: int
  expansion: int
  stride: int
  activation: Callable[[Array], Array]
  dtype: jnp.dtype
  torchvision: bool = False

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    options = {"use_bias": not self.torchvision, "dtype": self.dtype}
    y = x
    if self.expansion > 1 or not self.torchvision:
      y = Conv(self.expansion * x.shape[-1], 1, **options)(x)
      y = self.activation(norm()(y))
    y = DepthwiseConv(3, self.stride, **options)(y)
    y = self.activation(norm()(y))
    y = norm()(Conv(self.features, 1, **options)(y))
    return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
  """Seven stages of inverted residuals, global average pool, linear layer.

  For small images the first convolution is 1x1 with a padding of 1, which adds
  two rows and columns to the image. `features` are the outputs of the stages
  and the pooled vector.

  Attributes:
    num_classes: K.
    divisor: divisor of all widths: 1 as published, 2 or 4 for smaller networks.
    activation: activation after the normalisations; ReLU in Skeptical students.
    torchvision: whether the network is torchvision's, which halves images five
      times.
    dtype: compute dtype.
  """

  num_classes: int
  divisor: int = 1
  activation: Callable[[Array], Array] = nn.relu6
  torchvision: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    options = {"use_bias": not self.torchvision, "dtype": self.dtype}
    size, stride = (3, 2) if self.torchvision else (1, 1)
    x = Conv(32 // self.divisor, size, stride, 1, **options)(images)
    x = self.activation(norm()(x))
    features = []
    stages = _TORCHVISION_STAGES if self.torchvision else _STAGES
    for expansion, width, blocks, first_stride in stages:
      for index in range(blocks):
        block = InvertedResidual(
          width // self.divisor,
          expansion,
          1 if index else first_stride,
          self.activation,
          self.dtype,
          self.torchvision,
        )
        x = block(x, train=train)
      features.append(x)
    x = Conv(1280 // self.divisor, 1, **options)(x)
    pooled = self.activation(norm()(x)).mean((1, 2))
    x = pooled
    if self.torchvision:
      x = nn.Dropout(0.2, deterministic=not train)(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, pooled))
