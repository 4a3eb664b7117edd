"""The names of our networks' layers in PyTorch, network by network."""

import flax.linen as nn

from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.resnet import ResNet
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.models.skeptical import Skeptical
from jaxkd.models.vgg import VGG, TorchvisionVGG
from jaxkd.models.vit import ViT
from jaxkd.models.wide_resnet import WideResNet
from jaxkd.serialization.pytorch import blocks as torch_blocks
from jaxkd.serialization.pytorch.naming_schemes import (
  Layers,
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
      return torch_blocks.resnet(network)
    case VGG():
      return torch_blocks.vgg(network)
    case TorchvisionVGG():
      return torch_blocks.torchvision_vgg(network)
    case MobileNetV2():
      return torch_blocks.mobilenet()
    case ShuffleNetV2():
      return torch_blocks.shufflenet()
    case WideResNet():
      return torch_blocks.wide_resnet(network)
    case ViT():
      return _vit(network)
    case Skeptical():
      return _skeptical(network)
  return plain_names(network)


# ViT: {even} and {odd} are 2 {layer} and 2 {layer} + 1.

_VIT_TIMM = {
  "LayerNorm_{even}": "norm1",
  "LocalityAttention_{layer}/Dense_0": "attn.qkv",
  "LocalityAttention_{layer}/log_scale": "attn.temperature",
  "LocalityAttention_{layer}/Dense_1": "attn.proj",
  "LayerNorm_{odd}": "norm2",
  "Dense_{even}": "mlp.fc1",
  "Dense_{odd}": "mlp.fc2",
}
_VIT_PYTORCH = {
  "LayerNorm_{even}": "0.norm",
  "LocalityAttention_{layer}/Dense_0": "0.to_qkv",
  "LocalityAttention_{layer}/log_scale": "0.temperature",
  "LocalityAttention_{layer}/Dense_1": "0.to_out.0",
  "LayerNorm_{odd}": "1.net.0",
  "Dense_{even}": "1.net.1",
  "Dense_{odd}": "1.net.4",
}
_VIT_PRENORM = {
  "LayerNorm_{even}": "0.norm",
  "LocalityAttention_{layer}/Dense_0": "0.fn.to_qkv",
  "LocalityAttention_{layer}/log_scale": "0.fn.temperature",
  "LocalityAttention_{layer}/Dense_1": "0.fn.to_out.0",
  "LayerNorm_{odd}": "1.norm",
  "Dense_{even}": "1.fn.net.0",
  "Dense_{odd}": "1.fn.net.3",
}


def _vit(network: ViT) -> Names:
  last = 2 * network.depth
  timm = {
    "ShiftedPatches_0/LayerNorm_0": "patch_embed.norm",
    "ShiftedPatches_0/Dense_0": "patch_embed.proj",
    "class_token": "cls_token",
    "position": "pos_embed",
    f"LayerNorm_{last}": "norm",
    f"Dense_{last}": "head",
  }
  pytorch = {
    "ShiftedPatches_0/LayerNorm_0": "to_patch_embedding.to_patch_tokens.1",
    "ShiftedPatches_0/Dense_0": "to_patch_embedding.to_patch_tokens.2",
    "class_token": "cls_token",
    "position": "pos_embedding",
    f"LayerNorm_{last}": "mlp_head.0",
    f"Dense_{last}": "mlp_head.1",
  }

  def layers(prefix: str, table: Layers) -> Layers:
    return {
      path.format(layer=layer, even=2 * layer, odd=2 * layer + 1): (
        f"{prefix}.{layer}.{torch_name}"
      )
      for layer in range(network.depth)
      for path, torch_name in table.items()
    }

  kernel = {"ShiftedPatches_0/Dense_0": (network.patch, network.patch)}
  prefix = "transformer.layers"
  return Names(
    (
      NamingScheme("timm", timm | layers("blocks", _VIT_TIMM), as_conv=kernel),
      NamingScheme("vit-pytorch", pytorch | layers(prefix, _VIT_PYTORCH)),
      NamingScheme(
        "vit-pytorch, PreNorm", pytorch | layers(prefix, _VIT_PRENORM)
      ),
    ),
    note="Our ViTs are those for small data sets, with normalised shifted "
    "patches, a learned temperature and no biases of queries, keys and values; "
    "timm's do not fit.",
  )


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
