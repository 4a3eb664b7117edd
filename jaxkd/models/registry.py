"""The networks of this package by name."""

from collections.abc import Callable
import functools

import flax.linen as nn

from jaxkd.models.alexnet import AlexNet, IdealAlexNet
from jaxkd.models.cnn import CNN, CakeCNN, IdealCNN
from jaxkd.models.dast import Substitute
from jaxkd.models.lenet import IdealLeNet, LeNet
from jaxkd.models.mlp import MLP, IdealMLP
from jaxkd.models.mobilenet import MobileNetV2
from jaxkd.models.resnet import ResNet
from jaxkd.models.shufflenet import ShuffleNetV2
from jaxkd.models.skeptical import skeptical
from jaxkd.models.vgg import VGG, TorchvisionVGG
from jaxkd.models.vit import TorchvisionViT, ViT
from jaxkd.models.wide_resnet import WideResNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
  "cake_cnn": CakeCNN,
  "cnn": CNN,
  "cnn_half": functools.partial(CNN, channels=(16, 32, 64), hidden=64),
  "cnn_quarter": functools.partial(CNN, channels=(8, 16, 32), hidden=32),
  "dast_large": functools.partial(Substitute, sizes=(5, 5, 3, 3)),
  "dast_medium": functools.partial(Substitute, sizes=(5, 5, 3)),
  "dast_small": Substitute,
  "ideal_alexnet": IdealAlexNet,
  "ideal_cnn": IdealCNN,
  "ideal_lenet": IdealLeNet,
  "ideal_mlp": IdealMLP,
  "lenet5": LeNet,
  "lenet5_half": functools.partial(LeNet, channels=(3, 8, 60), hidden=42),
  "mlp": MLP,
  "mlp_half": functools.partial(MLP, width=10),
  "mobilenet_v2": MobileNetV2,
  "mobilenet_v2_quarter": functools.partial(MobileNetV2, divisor=4),
  "resnet18": ResNet,
  "resnet34": functools.partial(ResNet, blocks=(3, 4, 6, 3)),
  "resnet50": functools.partial(ResNet, blocks=(3, 4, 6, 3), bottleneck=True),
  "resnet8_16": functools.partial(ResNet, blocks=(1, 1, 1), width=16),
  "resnet8_8": functools.partial(ResNet, blocks=(1, 1, 1), width=8),
  "shufflenet_v2": ShuffleNetV2,
  "shufflenet_v2_quarter": functools.partial(ShuffleNetV2, divisor=4),
  "vgg11": functools.partial(VGG, depths=(1, 1, 2, 2, 2)),
  "vgg13": functools.partial(VGG, depths=(2, 2, 2, 2, 2)),
  "vgg16": functools.partial(VGG, depths=(2, 2, 3, 3, 3)),
  "vgg8": VGG,
  "vgg8_half": functools.partial(VGG, divisor=2),
  "vit4": functools.partial(ViT, depth=4),
  "vit4_half": functools.partial(ViT, depth=4, dim=32, heads=4, hidden=32),
  "vit8": ViT,
  "wrn16_1": functools.partial(WideResNet, depth=16, widening=1),
  "wrn16_2": functools.partial(WideResNet, depth=16),
  "wrn22_2": functools.partial(WideResNet, depth=22),
  "wrn40_1": functools.partial(WideResNet, widening=1),
  "wrn40_2": WideResNet,
  "zsdb3kd_alexnet": AlexNet,
  "zsdb3kd_alexnet_half": functools.partial(AlexNet, divisor=2),
  "zsdb3kd_alexnet_quarter": functools.partial(AlexNet, divisor=4),
  "zsdb3kd_lenet5": functools.partial(
    LeNet, channels=(20, 50), hidden=200, side=28
  ),
  "zsdb3kd_lenet5_fifth": functools.partial(
    LeNet, channels=(4, 10), hidden=40, side=28
  ),
  "zsdb3kd_lenet5_half": functools.partial(
    LeNet, channels=(10, 25), hidden=100, side=28
  ),
}
# The layers of torchvision's networks, for 224x224 pixels and other sizes.
_RESNETS = {
  name: functools.partial(NETWORKS[name], imagenet_stem=True)
  for name in ("resnet18", "resnet34", "resnet50")
}
_VGGS = {
  name + suffix: functools.partial(
    TorchvisionVGG, **NETWORKS[name].keywords, batch_norm=bool(suffix)
  )
  for name in ("vgg11", "vgg13", "vgg16")
  for suffix in ("", "_bn")
}
_MOBILENET = functools.partial(MobileNetV2, torchvision=True)
_BY_LIBRARY = {
  "torchvision": _RESNETS
  | _VGGS
  | {
    "mobilenet_v2": _MOBILENET,
    "shufflenet_v2_x1_0": functools.partial(ShuffleNetV2, torchvision=True),
    "vit_b_16": TorchvisionViT,
  },
  "timm": _RESNETS
  | {"mobilenetv2_100": _MOBILENET, "vit_base_patch16_224": TorchvisionViT},
}
NETWORKS |= {
  f"{library}_{name}": network
  for library, networks in _BY_LIBRARY.items()
  for name, network in networks.items()
}
NETWORKS |= {
  f"skeptical_{name}": functools.partial(skeptical, NETWORKS[name])
  for name in (
    "cnn",
    "cnn_half",
    "cnn_quarter",
    "mobilenet_v2",
    "mobilenet_v2_quarter",
    "resnet18",
    "resnet50",
    "shufflenet_v2",
    "shufflenet_v2_quarter",
  )
}
