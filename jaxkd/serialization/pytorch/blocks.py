"""PyTorch's names for the networks of blocks, family by family."""

from jaxkd.models.resnet import ResNet
from jaxkd.models.vgg import VGG
from jaxkd.models.wide_resnet import WideResNet
from jaxkd.serialization.pytorch.naming_schemes import (
  Layers,
  Names,
  NamingScheme,
  at,
  inside,
  renamed,
  sequence,
  staged,
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
  """Those of torchvision and timm, `layer1.0.conv1`, and those of CIFAR."""
  block = _BOTTLENECK if network.bottleneck else _BLOCK
  places = staged("layer{}.{}", network.blocks)
  layers = {"Conv_0": "conv1", "BatchNorm_0": "bn1", "Dense_0": "fc"}
  layers |= inside("Block", places, block)
  shortcut = renamed(layers, "downsample", "shortcut")
  return Names(
    (
      NamingScheme("torchvision and timm", layers),
      NamingScheme(
        "CIFAR, shortcut and linear", renamed(shortcut, "fc", "linear")
      ),
      NamingScheme("CIFAR, shortcut and fc", shortcut),
    ),
    note="ResNets here have the stem for small images, one 3x3 convolution of "
    "stride 1 and no pool: a network for ImageNet does not fit.",
  )


# VGG


def vgg(network: VGG) -> Names:
  """`features.N`, which counts the pools, or blocks of their own numbers."""
  styles = []
  for pools in (4, 3):  # networks for 32x32 images leave the fourth out
    order, number = "", 0
    for block, depth in enumerate(network.depths):
      for _ in range(depth):
        order += f"Conv_{number} BatchNorm_{number} . "
        number += 1
      order += ". " * (block < pools)
    features = sequence(order, "features.")
    for who, head in (
      ("torchvision", "classifier"),
      ("torchvision", "classifier.0"),
      ("timm", "head.fc"),
    ):
      name = f"{who}, {head}" + ", three pools" * (pools == 3)
      styles.append(NamingScheme(name, features | {"Dense_0": head}))
  return Names(
    (*styles, NamingScheme("blocks", _vgg_blocks(network))),
    note="VGGs here have batch normalisation, and one linear layer behind a "
    "global pool: torchvision's, with three linear layers, do not fit.",
  )


def _vgg_blocks(network: VGG) -> Layers:
  layers = {"Dense_0": "classifier"}
  for number, place in enumerate(staged("block{}.{}", network.depths, 0)):
    block, index = place.split(".")
    layers[f"Conv_{number}"] = f"{block}.{3 * int(index)}"
    layers[f"BatchNorm_{number}"] = f"{block}.{3 * int(index) + 1}"
  return layers


# MobileNetV2

_MOBILE_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
_MOBILE_TORCHVISION = {
  "Conv_0": "conv.0.0",
  "BatchNorm_0": "conv.0.1",
  "DepthwiseConv_0": "conv.1.0",
  "BatchNorm_1": "conv.1.1",
  "Conv_1": "conv.2",
  "BatchNorm_2": "conv.3",
}
_MOBILE_TIMM = {
  "Conv_0": "conv_pw",
  "BatchNorm_0": "bn1",
  "DepthwiseConv_0": "conv_dw",
  "BatchNorm_1": "bn2",
  "Conv_1": "conv_pwl",
  "BatchNorm_2": "bn3",
}
_MOBILE_CIFAR = {
  "Conv_0": "residual.0",
  "BatchNorm_0": "residual.1",
  "DepthwiseConv_0": "residual.3",
  "BatchNorm_1": "residual.4",
  "Conv_1": "residual.6",
  "BatchNorm_2": "residual.7",
}


def mobilenet() -> Names:
  """Those of torchvision, of timm and of CIFAR networks."""
  torchvision = {
    "Conv_0": "features.0.0",
    "BatchNorm_0": "features.0.1",
    "Conv_1": "features.18.0",
    "BatchNorm_1": "features.18.1",
    "Dense_0": "classifier.1",
  }
  timm = {
    "Conv_0": "conv_stem",
    "BatchNorm_0": "bn1",
    "Conv_1": "conv_head",
    "BatchNorm_1": "bn2",
    "Dense_0": "classifier",
  }
  cifar = {
    "Conv_0": "pre.0",
    "BatchNorm_0": "pre.1",
    "Conv_1": "conv1.0",
    "BatchNorm_1": "conv1.1",
    "Dense_0": "conv2",
  }
  numbered = [f"features.{index}" for index in range(1, 18)]
  nested = staged("blocks.{}.{}", _MOBILE_BLOCKS, 0)
  stages = staged("stage{}.{}", _MOBILE_BLOCKS)
  stages[0], stages[-1] = "stage1", "stage7"  # of a single block
  block = "InvertedResidual"
  return Names(
    (
      NamingScheme(
        "torchvision",
        torchvision | inside(block, numbered, _MOBILE_TORCHVISION),
      ),
      NamingScheme("timm", timm | inside(block, nested, _MOBILE_TIMM)),
      NamingScheme(
        "CIFAR",
        cifar | inside(block, stages, _MOBILE_CIFAR),
        as_conv={"Dense_0": (1, 1)},
      ),
    ),
    note="MobileNetV2 here has a 1x1 stem, biases in all convolutions, and "
    "expands in the first block too: torchvision's and timm's do not fit.",
  )


# ShuffleNetV2

_SHUFFLE_UNITS = (4, 8, 4)
_SHUFFLE_FIRST = {
  "DepthwiseConv_0": "branch1.0",
  "BatchNorm_0": "branch1.1",
  "Conv_0": "branch1.2",
  "BatchNorm_1": "branch1.3",
  "Conv_1": "branch2.0",
  "BatchNorm_2": "branch2.1",
  "DepthwiseConv_1": "branch2.3",
  "BatchNorm_3": "branch2.4",
  "Conv_2": "branch2.5",
  "BatchNorm_4": "branch2.6",
}
_SHUFFLE_LATER = {
  "Conv_0": "branch2.0",
  "BatchNorm_0": "branch2.1",
  "DepthwiseConv_0": "branch2.3",
  "BatchNorm_1": "branch2.4",
  "Conv_1": "branch2.5",
  "BatchNorm_2": "branch2.6",
}


def shufflenet() -> Names:
  """Those of torchvision and of CIFAR networks."""
  layers = {
    "Conv_0": "conv1.0",
    "BatchNorm_0": "conv1.1",
    "Conv_1": "conv5.0",
    "BatchNorm_1": "conv5.1",
    "Dense_0": "fc",
  }
  for number, place in enumerate(staged("stage{}.{}", _SHUFFLE_UNITS, 2)):
    unit = _SHUFFLE_FIRST if place.endswith(".0") else _SHUFFLE_LATER
    layers |= at(f"ShuffleUnit_{number}", place, unit)
  cifar = layers | {"Conv_0": "pre.0", "BatchNorm_0": "pre.1"}
  cifar = renamed(renamed(cifar, "branch1", "shortcut"), "branch2", "residual")
  return Names(
    (NamingScheme("torchvision", layers), NamingScheme("CIFAR", cifar)),
    note="ShuffleNetV2 here has a 3x3 stem of stride 1, no pool, and biases in "
    "all convolutions: torchvision's does not fit.",
  )


# WideResNet

_WIDE_BLOCK = {"BatchNorm_0": "bn1", "BatchNorm_1": "bn2"}
_WIDE_EQUAL = _WIDE_BLOCK | {"Conv_0": "conv1", "Conv_1": "conv2"}
_WIDE_WIDER = _WIDE_BLOCK | {
  "Conv_0": "convShortcut",
  "Conv_1": "conv1",
  "Conv_2": "conv2",
}


def wide_resnet(network: WideResNet) -> Names:
  """`block1.layer.0.conv1`, or as in a ResNet with pre-activation."""
  layers = {"Conv_0": "conv1", "BatchNorm_0": "bn1", "Dense_0": "fc"}
  depth = (network.depth - 4) // 6
  for number, place in enumerate(staged("block{}.layer.{}", (depth,) * 3)):
    wider = number % depth == 0 and (number > 0 or network.widening > 1)
    block = _WIDE_WIDER if wider else _WIDE_EQUAL
    layers |= at(f"WideBlock_{number}", place, block)
  flat = {
    ours: theirs.replace("block", "layer").replace(".layer.", ".")
    for ours, theirs in renamed(layers, "convShortcut", "shortcut.0").items()
  }
  return Names(
    (
      NamingScheme("convShortcut", layers),
      NamingScheme("pre-activation ResNet", renamed(flat, "fc", "linear")),
    )
  )
