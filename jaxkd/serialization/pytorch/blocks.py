"""The names of the layers of networks of blocks in PyTorch."""

from jaxkd.models.resnet import ResNet
from jaxkd.models.vgg import VGG, TorchvisionVGG
from jaxkd.models.wide_resnet import WideResNet
from jaxkd.serialization.pytorch.naming_schemes import (
  Layers,
  Names,
  NamingScheme,
  block_names,
  nest,
  nest_blocks,
  replace_in_names,
  sequential_names,
)

# ResNet

_BLOCK = {
  "Conv_0": "conv1",
  "BatchNorm_0": "bn1",
  "Conv_1": "conv2",
  "BatchNorm_1": "bn2",
  "Conv_2": "downsample.0",
  "BatchNorm_2": "downsample.1",
}
_BOTTLENECK = _BLOCK | {
  "Conv_2": "conv3",
  "BatchNorm_2": "bn3",
  "Conv_3": "downsample.0",
  "BatchNorm_3": "downsample.1",
}


def resnet(network: ResNet) -> Names:
  """Returns the names of torchvision and timm, and of networks for CIFAR."""
  block = _BOTTLENECK if network.bottleneck else _BLOCK
  blocks = block_names("layer{}.{}", network.blocks)
  layers = {"Conv_0": "conv1", "BatchNorm_0": "bn1", "Dense_0": "fc"}
  layers |= nest_blocks("Block", blocks, block)
  shortcut = replace_in_names(layers, "downsample", "shortcut")
  return Names(
    (
      NamingScheme("torchvision and timm", layers),
      NamingScheme(
        "CIFAR, shortcut and linear", replace_in_names(shortcut, "fc", "linear")
      ),
      NamingScheme("CIFAR, shortcut and fc", shortcut),
    ),
    note="torchvision_resnet18, 34 and 50 have the stem for ImageNet; other "
    "ResNets have that for small images, one 3x3 convolution and no pool.",
  )


# VGG


def vgg(network: VGG) -> Names:
  """Returns names `features.N` that count the pools, and names of blocks."""
  schemes = []
  for pools in (4, 3):  # networks for 32x32 images leave the fourth out
    order, number = "", 0
    for block, depth in enumerate(network.depths):
      for _ in range(depth):
        order += f"Conv_{number} BatchNorm_{number} . "
        number += 1
      order += ". " * (block < pools)
    features = sequential_names(order, "features.")
    for library, head in (
      ("torchvision", "classifier"),
      ("torchvision", "classifier.0"),
      ("timm", "head.fc"),
    ):
      name = f"{library}, {head}" + ", three pools" * (pools == 3)
      schemes.append(NamingScheme(name, features | {"Dense_0": head}))
  return Names(
    (*schemes, NamingScheme("blocks", _vgg_blocks(network))),
    note="Our VGGs have batch normalisation, and one linear layer after a "
    "global pool; those with three are torchvision_vgg11, 13, 16 and *_bn.",
  )


def torchvision_vgg(network: TorchvisionVGG) -> Names:
  """Returns the names of torchvision's VGGs, with three linear layers."""
  order, number = "", 0
  for depth in network.depths:
    for _ in range(depth):
      norm = f"BatchNorm_{number} " * network.batch_norm
      order += f"Conv_{number} {norm}. "
      number += 1
    order += ". "
  layers = sequential_names(order, "features.")
  layers |= sequential_names("Dense_0 . . Dense_1 . . Dense_2", "classifier.")
  return Names(
    (NamingScheme("torchvision", layers),),
    flattened=("Dense_0", f"Conv_{number - 1}"),
  )


def _vgg_blocks(network: VGG) -> Layers:
  layers = {"Dense_0": "classifier"}
  for number, name in enumerate(block_names("block{}.{}", network.depths, 0)):
    block, index = name.split(".")
    layers[f"Conv_{number}"] = f"{block}.{3 * int(index)}"
    layers[f"BatchNorm_{number}"] = f"{block}.{3 * int(index) + 1}"
  return layers


# WideResNet

_WIDE_BLOCK = {"BatchNorm_0": "bn1", "BatchNorm_1": "bn2"}
_WIDE_EQUAL = _WIDE_BLOCK | {"Conv_0": "conv1", "Conv_1": "conv2"}
_WIDE_WIDER = _WIDE_BLOCK | {
  "Conv_0": "convShortcut",
  "Conv_1": "conv1",
  "Conv_2": "conv2",
}


def wide_resnet(network: WideResNet) -> Names:
  """Returns names with `convShortcut`, and those of pre-activation ResNets."""
  layers = {"Conv_0": "conv1", "BatchNorm_0": "bn1", "Dense_0": "fc"}
  depth = (network.depth - 4) // 6
  for number, name in enumerate(block_names("block{}.layer.{}", (depth,) * 3)):
    wider = number % depth == 0 and (number > 0 or network.widening > 1)
    block = _WIDE_WIDER if wider else _WIDE_EQUAL
    layers |= nest(f"WideBlock_{number}", name, block)
  resnet_layers = replace_in_names(layers, "convShortcut", "shortcut.0")
  for old, new in (("block", "layer"), (".layer.", "."), ("fc", "linear")):
    resnet_layers = replace_in_names(resnet_layers, old, new)
  return Names(
    (
      NamingScheme("convShortcut", layers),
      NamingScheme("pre-activation ResNet", resnet_layers),
    )
  )
