"""The names of our networks' layers in PyTorch, network by network."""

import flax.linen as nn

from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.resnet import ResNet
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.models.skeptical import Skeptical
from jaxkd.models.vgg import VGG, TorchvisionVGG
from jaxkd.models.vit import TorchvisionViT, ViT
from jaxkd.models.wide_resnet import WideResNet
from jaxkd.serialization.pytorch import blocks, mobile, transformers
from jaxkd.serialization.pytorch.naming_schemes import (
  Names,
  NamingScheme,
  nest,
  nest_blocks,
)
from jaxkd.serialization.pytorch.plain import plain_names


def names_of(network: nn.Module) -> Names:
  """Returns the naming schemes of a network that `jaxkd.models.create` made."""
  match network:
    case ResNet():
      return blocks.resnet(network)
    case VGG():
      return blocks.vgg(network)
    case TorchvisionVGG():
      return blocks.torchvision_vgg(network)
    case MobileNetV2():
      return mobile.mobilenet(network)
    case ShuffleNetV2():
      return mobile.shufflenet(network)
    case WideResNet():
      return blocks.wide_resnet(network)
    case ViT():
      return transformers.vit(network)
    case TorchvisionViT():
      return transformers.torchvision_vit(network)
    case Skeptical():
      return _skeptical(network)
  return plain_names(network)


# Skeptical students: the names of the backbone, and three exits.

_SEPARABLE = {
  "DepthwiseConv_0": "op.0",
  "Conv_0": "op.1",
  "BatchNorm_0": "op.2",
  "DepthwiseConv_1": "op.4",
  "Conv_1": "op.5",
  "BatchNorm_1": "op.6",
}


def _skeptical(network: Skeptical) -> Names:
  exits = {}
  for number in range(len(network.stages)):
    chain = [f"scala.{index}" for index in range(len(network.chain))]
    layers = {"BatchNorm_0": "attention.1", "Dense_0": "fc"}
    layers |= nest_blocks("SeparableConv", ["attention.0", *chain], _SEPARABLE)
    exits |= nest(f"EarlyExit_{number}", f"exits.{number}", layers)
  backbone = names_of(network.backbone)
  schemes = tuple(
    NamingScheme(
      scheme.name,
      exits | nest("backbone", "backbone", scheme.layers),
      as_conv={
        f"backbone/{layer}": size for layer, size in scheme.as_conv.items()
      },
    )
    for scheme in backbone.schemes
  )
  flattened = tuple(f"backbone/{layer}" for layer in backbone.flattened)
  return Names(schemes, flattened, backbone.note)
