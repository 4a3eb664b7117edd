"""Skeptical students: networks with early exits that doubt their teacher.

Kundu et al., Analyzing the Confidentiality of Undistillable Teachers in
Knowledge Distillation (2021). A teacher that misleads is heard at one early
exit alone, so that it moves only what lies below. The backbone is the plain
network, untouched: each exit hangs on the output of one of its stages.

The published backbones are ResNet and MobileNetV2; the exits of CNN and
ShuffleNetV2 are ours, in the same form. Pools are global, for images of any
size. The layers are initialised as everywhere in the zoo.
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
  """Twice a depthwise and a 1x1 convolution, normalisation and ReLU.

  Attributes:
    features: output channels; the first half keeps the input's.
    stride: of the first depthwise convolution.
    dtype: to compute in.
  """

  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """`[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    halves = ((x.shape[-1], self.stride), (self.features, 1))
    for features, stride in halves:
      x = DepthwiseConv(3, stride, use_bias=False, dtype=self.dtype)(x)
      x = Conv(features, 1, use_bias=False, dtype=self.dtype)(x)
      x = nn.relu(norm()(x))
    return x


class EarlyExit(nn.Module):
  """An attention gate, separable convolutions, a global pool and logits.

  Attributes:
    num_classes: K.
    chain: output channels and stride of each separable convolution.
    gate_stride: of the gate, which is enlarged again.
    dtype: to compute in.
  """

  num_classes: int
  chain: tuple[tuple[int, int], ...]
  gate_stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """The output `[B, H, W, C]` of a stage to logits `[B, K]`."""
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
  the deepest first: `heads[0]` sees most of the network, `heads[2]` the least.

  Attributes:
    backbone: a network that taps its stages.
    stages: the three that have an exit, as indices of the features.
    chain: channels and stride of the separable convolutions behind the first of
      them; each later exit leaves one more out.
    gate_stride: of the gates.
    dtype: to compute in.
  """

  backbone: nn.Module
  stages: tuple[int, int, int]
  chain: tuple[tuple[int, int], ...]
  gate_stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """`images [B, H, W, C]`, normalised."""
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
  """The Skeptical student with `network(num_classes=..., dtype=...)` as its
  backbone; a ResNet has four stages.

  In MobileNetV2 ReLU takes the place of ReLU6, as published.
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
