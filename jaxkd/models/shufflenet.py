"""ShuffleNetV2 for small images.

Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
Design (2018), as the Nasty Teacher code trains it on CIFAR: the first
convolution has stride 1, no ReLU and no pool, and every convolution has a bias.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Conv, Dense, DepthwiseConv, batch_norm
from jaxkd.types import Array, Outputs


class ShuffleUnit(nn.Module):
  """A block of two branches whose output channels are interleaved.

  With stride 1 the first half of the channels is passed through, and the second
  half is convolved; with stride 2 both branches convolve all channels.

  Attributes:
    features: output channels, an even number.
    stride: stride of the depthwise convolutions, 1 or 2.
    dtype: compute dtype.
  """

  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)

    def pointwise(x: Array, features: int) -> Array:
      return nn.relu(norm()(Conv(features, 1, dtype=self.dtype)(x)))

    def depthwise(x: Array) -> Array:
      return norm()(DepthwiseConv(3, self.stride, dtype=self.dtype)(x))

    half = self.features // 2
    if self.stride == 1:
      shortcut, x = jnp.split(x, 2, axis=-1)
    else:
      shortcut = pointwise(depthwise(x), half)
    residual = pointwise(depthwise(pointwise(x, x.shape[-1])), half)
    both = jnp.stack((shortcut, residual), axis=-1)
    return both.reshape(*both.shape[:3], self.features)


class ShuffleNetV2(nn.Module):
  """Three stages of shuffle units, global average pool, linear layer.

  `features` are the outputs of the stages and the pooled vector.

  Attributes:
    num_classes: K.
    divisor: divisor of all widths: 1 as published, 2 or 4 for smaller networks,
      whose stages' widths are rounded down to even numbers.
    dtype: compute dtype.
  """

  num_classes: int
  divisor: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    x = Conv(24 // self.divisor, 3, padding=1, dtype=self.dtype)(images)
    x = norm()(x)
    features = []
    for width, units in zip(self.widths, (4, 8, 4), strict=True):
      for index in range(units):
        unit = ShuffleUnit(width, 1 if index else 2, self.dtype)
        x = unit(x, train=train)
      features.append(x)
    x = Conv(1024 // self.divisor, 1, dtype=self.dtype)(x)
    x = nn.relu(norm()(x)).mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))

  @property
  def widths(self) -> tuple[int, ...]:
    """The channels of the stages."""
    return tuple(width // (2 * self.divisor) * 2 for width in (116, 232, 464))
