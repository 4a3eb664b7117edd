"""ShuffleNetV2: for small images, and torchvision's.

Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
Design (2018). The Nasty Teacher code trains it on CIFAR with a first
convolution of stride 1, without ReLU and pool, and a bias in every convolution.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu.pool import max_pool
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
    torchvision: whether convolutions have no bias, and the first one of the
      second branch has half of the output channels.
  """

  features: int
  stride: int
  dtype: jnp.dtype
  torchvision: bool = False

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    options = {"use_bias": not self.torchvision, "dtype": self.dtype}

    def pointwise(x: Array, features: int) -> Array:
      return nn.relu(norm()(Conv(features, 1, **options)(x)))

    def depthwise(x: Array) -> Array:
      return norm()(DepthwiseConv(3, self.stride, **options)(x))

    half = self.features // 2
    if self.stride == 1:
      shortcut, x = jnp.split(x, 2, axis=-1)
    else:
      shortcut = pointwise(depthwise(x), half)
    inner = half if self.torchvision else x.shape[-1]
    residual = pointwise(depthwise(pointwise(x, inner)), half)
    both = jnp.stack((shortcut, residual), axis=-1)
    return both.reshape(*both.shape[:3], self.features)


class ShuffleNetV2(nn.Module):
  """Three stages of shuffle units, global average pool, linear layer.

  `features` are the outputs of the stages and the pooled vector.

  Attributes:
    num_classes: K.
    divisor: divisor of all widths: 1 as published, 2 or 4 for smaller networks,
      whose stages' widths are rounded down to even numbers.
    torchvision: whether the network is torchvision's, whose first convolution
      has stride 2 and is followed by a pool.
    dtype: compute dtype.
  """

  num_classes: int
  divisor: int = 1
  torchvision: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    options = {"use_bias": not self.torchvision, "dtype": self.dtype}
    stride = 2 if self.torchvision else 1
    x = Conv(24 // self.divisor, 3, stride, 1, **options)(images)
    x = norm()(x)
    if self.torchvision:
      x = max_pool(nn.relu(x), (3, 3), (2, 2), ((1, 1), (1, 1)))
    features = []
    for width, units in zip(self.widths, (4, 8, 4), strict=True):
      for index in range(units):
        unit = ShuffleUnit(
          width, 1 if index else 2, self.dtype, self.torchvision
        )
        x = unit(x, train=train)
      features.append(x)
    x = Conv(1024 // self.divisor, 1, **options)(x)
    x = nn.relu(norm()(x)).mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))

  @property
  def widths(self) -> tuple[int, ...]:
    """The channels of the stages."""
    return tuple(width // (2 * self.divisor) * 2 for width in (116, 232, 464))
