"""Skeptical students: networks with early exits.

Kundu et al., Analyzing the Confidentiality of Undistillable Teachers in
Knowledge Distillation (2021). A misleading teacher is distilled at one early
exit only, so that its gradient reaches only the layers below. The backbone is
the unchanged network; each exit takes the output of one of its stages.

The published backbones are ResNet and MobileNetV2; the exits of CNN and
ShuffleNetV2 are ours and have the same form. Pools are global, for images of
any size. The layers have the initialisation of `jaxkd.models.layers`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models.cnn import CNN
from jaxkd.models.layers import Conv, Dense, DepthwiseConv, batch_norm
from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.resnet import ResNet
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.types import Array, Outputs

_MOBILE_WIDTHS = (64, 160, 320, 640, 1280)


class SeparableConv(nn.Module):
  """Two times a depthwise and a 1x1 convolution, normalisation and ReLU.

  Attributes:
    features: output channels; the first 1x1 convolution keeps the input's.
    stride: stride of the first depthwise convolution.
    dtype: compute dtype.
  """

  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    halves = ((x.shape[-1], self.stride), (self.features, 1))
    for features, stride in halves:
      x = DepthwiseConv(3, stride, use_bias=False, dtype=self.dtype)(x)
      x = Conv(features, 1, use_bias=False, dtype=self.dtype)(x)
      x = nn.relu(norm()(x))
    return x


class EarlyExit(nn.Module):
  """An exit: attention gate, separable convolutions, global pool and logits.

  Attributes:
    num_classes: K.
    chain: output channels and stride of each separable convolution.
    gate_stride: stride of the gate, whose output is resized to the input.
    dtype: compute dtype.
  """

  num_classes: int
  chain: tuple[tuple[int, int], ...]
  gate_stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]`, the output of a stage, to logits `[B, K]`."""
    gate = SeparableConv(x.shape[-1], self.gate_stride, self.dtype)
    y = gate(x, train=train)
    y = nn.relu(batch_norm(train=train, dtype=self.dtype)()(y))
    if y.shape != x.shape:
      y = jax.image.resize(y, x.shape, "bilinear")
    x *= nn.sigmoid(y)
    for features, stride in self.chain:
      x = SeparableConv(features, stride, self.dtype)(x, train=train)
    logits = Dense(self.num_classes, dtype=self.dtype)(x.mean((1, 2)))
    return logits.astype(jnp.float32)


class Skeptical(nn.Module):
  """A network with three early exits.

  `logits` and `features` are the backbone's, `heads` the logits of the exits,
  the deepest first.

  Attributes:
    backbone: a network that returns the outputs of its stages as features.
    stages: indices of the features that have an exit, from the shallowest.
    chain: channels and stride of the separable convolutions of the first exit;
      each deeper exit leaves out one more of them.
    gate_stride: stride of the gates.
    dtype: compute dtype.
  """

  backbone: nn.Module
  stages: tuple[int, int, int]
  chain: tuple[tuple[int, int], ...]
  gate_stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    outputs = self.backbone(images, train=train)
    heads = []
    for index, stage in enumerate(self.stages):
      early_exit = EarlyExit(
        self.backbone.num_classes,
        self.chain[index:],
        self.gate_stride,
        self.dtype,
      )
      heads.insert(0, early_exit(outputs.features[stage], train=train))
    return outputs._replace(heads=tuple(heads))


def skeptical(
  network: Callable[..., CNN | MobileNetV2 | ResNet | ShuffleNetV2],
  *,
  num_classes: int,
  dtype: jnp.dtype = jnp.float32,
) -> Skeptical:
  """Creates the Skeptical student of a backbone.

  MobileNetV2 has ReLU in place of ReLU6, as published.

  Args:
    network: constructor of the backbone; a ResNet needs four stages.
    num_classes: K.
    dtype: compute dtype.
  """
  backbone = network(num_classes=num_classes, dtype=dtype)
  match backbone:
    case MobileNetV2():
      backbone = backbone.clone(activation=nn.relu)
      widths = (width // backbone.divisor for width in _MOBILE_WIDTHS)
      chain = tuple(zip(widths, (2, 1, 1, 1, 1), strict=True))
      return Skeptical(backbone, (1, 3, 5), chain, 1, dtype)
    case ResNet():
      last = 8 * backbone.width * (4 if backbone.bottleneck else 1)
      widths = (last // 4, last // 2, last)
    case ShuffleNetV2():
      widths = (*backbone.widths[1:], 1024 // backbone.divisor)
    case CNN():
      widths = (*backbone.channels[1:], backbone.hidden)
  chain = tuple((width, 2) for width in widths)
  return Skeptical(backbone, (0, 1, 2), chain, 2, dtype)
