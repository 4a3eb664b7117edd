"""The names of the layers of MobileNetV2 and ShuffleNetV2 in PyTorch."""

from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.serialization.pytorch.naming_schemes import (
  Names,
  NamingScheme,
  block_names,
  nest,
  nest_blocks,
  replace_in_names,
)

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


# The first block of torchvision's network has no expansion.
_FIRST_TORCHVISION = {
  "DepthwiseConv_0": "conv.0.0",
  "BatchNorm_0": "conv.0.1",
  "Conv_0": "conv.1",
  "BatchNorm_1": "conv.2",
}
_FIRST_TIMM = {
  "DepthwiseConv_0": "conv_dw",
  "BatchNorm_0": "bn1",
  "Conv_0": "conv_pw",
  "BatchNorm_1": "bn2",
}


def mobilenet(network: MobileNetV2) -> Names:
  """Returns the names of torchvision, of timm and of networks for CIFAR."""
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
  nested = block_names("blocks.{}.{}", _MOBILE_BLOCKS, 0)
  stages = block_names("stage{}.{}", _MOBILE_BLOCKS)
  stages[0], stages[-1] = "stage1", "stage7"  # they have a single block
  block = "InvertedResidual"
  for number, names in enumerate(zip(numbered, nested, strict=True)):
    tables = _MOBILE_TORCHVISION, _MOBILE_TIMM
    if network.torchvision and number == 0:
      tables = _FIRST_TORCHVISION, _FIRST_TIMM
    torchvision |= nest(f"{block}_{number}", names[0], tables[0])
    timm |= nest(f"{block}_{number}", names[1], tables[1])
  if network.torchvision:
    return Names(
      (NamingScheme("torchvision", torchvision), NamingScheme("timm", timm)),
      note="mobilenet_v2 is the network for small images.",
    )
  return Names(
    (
      NamingScheme("torchvision", torchvision),
      NamingScheme("timm", timm),
      NamingScheme(
        "CIFAR",
        cifar | nest_blocks(block, stages, _MOBILE_CIFAR),
        as_conv={"Dense_0": (1, 1)},
      ),
    ),
    note="mobilenet_v2 is for small images: a 1x1 stem, biases in all "
    "convolutions, and an expansion in the first block too; torchvision's is "
    "torchvision_mobilenet_v2, timm's timm_mobilenetv2_100.",
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


def shufflenet(network: ShuffleNetV2) -> Names:
  """Returns the names of torchvision and of networks for CIFAR."""
  layers = {
    "Conv_0": "conv1.0",
    "BatchNorm_0": "conv1.1",
    "Conv_1": "conv5.0",
    "BatchNorm_1": "conv5.1",
    "Dense_0": "fc",
  }
  for number, name in enumerate(block_names("stage{}.{}", _SHUFFLE_UNITS, 2)):
    unit = _SHUFFLE_FIRST if name.endswith(".0") else _SHUFFLE_LATER
    layers |= nest(f"ShuffleUnit_{number}", name, unit)
  if network.torchvision:
    return Names(
      (NamingScheme("torchvision", layers),),
      note="shufflenet_v2 is the network for small images.",
    )
  cifar = layers | {"Conv_0": "pre.0", "BatchNorm_0": "pre.1"}
  cifar = replace_in_names(cifar, "branch1", "shortcut")
  cifar = replace_in_names(cifar, "branch2", "residual")
  return Names(
    (NamingScheme("torchvision", layers), NamingScheme("CIFAR", cifar)),
    note="shufflenet_v2 is for small images: a stem of stride 1, no pool, and "
    "biases in all convolutions; torchvision's is "
    "torchvision_shufflenet_v2_x1_0.",
  )
