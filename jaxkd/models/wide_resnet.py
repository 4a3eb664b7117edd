"""Wide residual networks with pre-activation.

Zagoruyko and Komodakis, Wide Residual Networks (2016).
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Conv, Dense, batch_norm
from jaxkd.types import Array, Outputs


class WideBlock(nn.Module):
  """A residual block: two times normalisation, ReLU and a 3x3 convolution.

  The shortcut is the input or, where the width changes, a 1x1 convolution of
  the first activation.

  Attributes:
    features: output channels.
    stride: stride of the first convolution.
    dtype: compute dtype.
  """

  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    y = nn.relu(norm()(x))
    if x.shape[-1] != self.features:
      x = Conv(self.features, 1, self.stride, 0, False, self.dtype)(y)
    y = Conv(self.features, 3, self.stride, 1, False, self.dtype)(y)
    y = nn.relu(norm()(y))
    return x + Conv(self.features, 3, 1, 1, False, self.dtype)(y)


class WideResNet(nn.Module):
  """Three stages of residual blocks, global average pool, linear layer.

  `features` are the outputs of the stages and the pooled vector. MAZE, whose
  student is WRN-22-2, enlarges 28x28 images to 32x32 for a pool of fixed size;
  here the pool is global, and images keep their size.

  Attributes:
    num_classes: K.
    depth: number of layers, 6 n + 4 for n blocks in each stage.
    widening: k; the stages have 16 k, 32 k and 64 k channels.
    dtype: compute dtype.
  """

  num_classes: int
  depth: int = 40
  widening: int = 2
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    x = Conv(16, 3, padding=1, use_bias=False, dtype=self.dtype)(images)
    features = []
    for stage in range(3):
      width = 16 * 2**stage * self.widening
      for index in range((self.depth - 4) // 6):
        stride = 2 if stage > 0 and index == 0 else 1
        x = WideBlock(width, stride, self.dtype)(x, train=train)
      features.append(x)
    x = nn.relu(batch_norm(train=train, dtype=self.dtype)()(x)).mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))
