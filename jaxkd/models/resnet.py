"""ResNets with the CIFAR stem: one 3x3 convolution and no pool.

He et al., Deep Residual Learning for Image Recognition (2016), as in the code
of Nasty Teacher, IDEAL and the data-free papers.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm
from jaxkd.types import Array, Outputs


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or 1x1, 3x3 and 1x1.

  Attributes:
    width: channels of the 3x3 convolutions.
    stride: stride of the first 3x3 convolution.
    bottleneck: whether there are three convolutions, the last 4 times as wide.
    dtype: compute dtype.
  """

  width: int
  stride: int
  bottleneck: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, C']`."""
    norm = batch_norm(train=train, dtype=self.dtype)

    def conv_norm(x: Array, features: int, size: int, stride: int = 1) -> Array:
      x = Conv(features, size, stride, size // 2, False, self.dtype)(x)
      return norm()(x)

    if self.bottleneck:
      features = 4 * self.width
      y = nn.relu(conv_norm(x, self.width, 1))
      y = nn.relu(conv_norm(y, self.width, 3, self.stride))
      y = conv_norm(y, features, 1)
    else:
      features = self.width
      y = nn.relu(conv_norm(x, self.width, 3, self.stride))
      y = conv_norm(y, self.width, 3)
    if self.stride != 1 or x.shape[-1] != features:
      x = conv_norm(x, features, 1, self.stride)
    return nn.relu(x + y)


class ResNet(nn.Module):
  """Stages of residual blocks, global average pool, linear layer.

  `features` are the outputs of the stages and the pooled vector.

  Attributes:
    num_classes: K.
    blocks: number of blocks of each stage; published networks have four stages.
    bottleneck: whether blocks have three convolutions.
    width: channels of the first stage's 3x3 convolutions, doubled per stage.
    imagenet_stem: whether the first convolution is 7x7 with stride 2 and a pool
      follows, as torchvision has it for ImageNet.
    dtype: compute dtype.
  """

  num_classes: int
  blocks: tuple[int, ...] = (2, 2, 2, 2)
  bottleneck: bool = False
  width: int = 64
  imagenet_stem: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    size, stride = (7, 2) if self.imagenet_stem else (3, 1)
    x = Conv(self.width, size, stride, size // 2, False, self.dtype)(images)
    x = nn.relu(norm()(x))
    if self.imagenet_stem:
      x = max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    features = []
    for stage, count in enumerate(self.blocks):
      for index in range(count):
        stride = 2 if stage > 0 and index == 0 else 1
        width = self.width * 2**stage
        block = Block(width, stride, self.bottleneck, self.dtype)
        x = block(x, train=train)
      features.append(x)
    x = x.mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))
