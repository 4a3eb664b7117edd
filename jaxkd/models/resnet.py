"""ResNets for small images: the design that the whole field shares."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Conv, Dense, Dtype, batch_norm
from jaxkd.types import Array, Outputs

WIDTHS, STRIDES = (64, 128, 256, 512), (1, 2, 2, 2)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions around a shortcut."""

  width: int
  stride: int
  dtype: Dtype = jnp.float32

  expansion = 1

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    y = _convolved(self, x, self.width, 3, self.stride, train)
    y = _convolved(self, nn.relu(y), self.width, 3, 1, train)
    return nn.relu(y + _shortcut(self, x, train))


class Bottleneck(nn.Module):
  """1x1, 3x3 with the stride, and 1x1 to four times the width."""

  width: int
  stride: int
  dtype: Dtype = jnp.float32

  expansion = 4

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    y = nn.relu(_convolved(self, x, self.width, 1, 1, train))
    y = nn.relu(_convolved(self, y, self.width, 3, self.stride, train))
    y = _convolved(self, y, self.width * self.expansion, 1, 1, train)
    return nn.relu(y + _shortcut(self, x, train))


class ResNet(nn.Module):
  """3x3 stem without pooling, four stages, global average, linear.

  Attributes:
    num_classes: K.
    block: of which the stages are made.
    depths: blocks in each stage.
    dtype: of the computation.
  """

  num_classes: int
  block: type[BasicBlock] | type[Bottleneck]
  depths: Sequence[int]
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    x = nn.relu(_convolved(self, images, WIDTHS[0], 3, 1, train))
    taps = []
    for depth, width, stride in zip(self.depths, WIDTHS, STRIDES, strict=True):
      for index in range(depth):
        block = self.block(width, 1 if index else stride, self.dtype)
        x = block(x, train)
      taps.append(x)
    x = x.mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*taps, x))


def _convolved(
  module: nn.Module, x: Array, width: int, size: int, stride: int, train: bool
) -> Array:
  """Convolution without bias, then batch normalisation."""
  dtype = module.dtype
  x = Conv(width, size, stride, size // 2, bias=False, dtype=dtype)(x)
  return batch_norm(train, dtype)(x)


def _shortcut(module: BasicBlock | Bottleneck, x: Array, train: bool) -> Array:
  """`x`, projected by 1x1 where the block changes its shape."""
  width = module.width * module.expansion
  if module.stride == 1 and x.shape[-1] == width:
    return x
  return _convolved(module, x, width, 1, module.stride, train)
