"""The names of the layers of plain networks in PyTorch."""

from collections.abc import Iterator

import flax.linen as nn

from jaxkd.models.alexnet import AlexNet, IdealAlexNet
from jaxkd.models.cnn import CNN, CakeCNN, IdealCNN
from jaxkd.models.dast import Substitute
from jaxkd.models.lenet import IdealLeNet, LeNet
from jaxkd.models.mlp import MLP, IdealMLP
from jaxkd.serialization.pytorch.naming_schemes import (
  Layers,
  Names,
  NamingScheme,
  sequential_names,
)

_PLAIN = {"Conv": "conv", "BatchNorm": "bn", "Dense": "fc"}
# The layers of each network in order, with a dot for each without parameters.
_ORDERS = {
  AlexNet: "Conv_0 BatchNorm_0 . . Conv_1 BatchNorm_1 . . Conv_2 BatchNorm_2 . "
  "Conv_3 BatchNorm_3 . Conv_4 BatchNorm_4 . . . Dense_0 . . BatchNorm_5 "
  "Dense_1 . . BatchNorm_6 Dense_2",
  CNN: "Conv_0 BatchNorm_0 . . Conv_1 BatchNorm_1 . . Conv_2 BatchNorm_2 . . . "
  "Dense_0 BatchNorm_3 . Dense_1",
  CakeCNN: "Conv_0 . Conv_1 . . Conv_2 . . Conv_3 . . . Dense_0",
  IdealAlexNet: "Conv_0 . . Conv_1 . . Conv_2 Conv_3 Conv_4 . . . Dense_0 "
  "Dense_1",
  IdealCNN: "Conv_0 . . Conv_1 . . Conv_2 . . Dense_0",
  IdealLeNet: "Conv_0 BatchNorm_0 . . Conv_1 BatchNorm_1 . . . Dense_0",
  IdealMLP: ". Dense_0 . Dense_1 . Dense_2",
}


def _order(network: nn.Module) -> str:
  match network:
    case LeNet(channels=(_, _)):
      return "Conv_0 . . Conv_1 . . . Dense_0 . Dense_1"
    case LeNet():
      return "Conv_0 . . Conv_1 . . Conv_2 . . Dense_0 . Dense_1"
    case MLP():
      return "".join(f". Dense_{index} " for index in range(network.layers + 1))
    case Substitute():
      convs = "".join(
        f"Conv_{index} . . " for index in range(len(network.sizes))
      )
      return f"{convs}. Dense_0 . Dense_1"
  return _ORDERS[type(network)]


def plain_names(network: nn.Module) -> Names:
  """Returns names `conv1`, `bn1`, `fc1`, and the numbers of `nn.Sequential`."""
  order = _order(network)
  plain = {}
  for layer in order.replace(".", "").split():
    kind, index = layer.split("_")
    plain[layer] = f"{_PLAIN[kind]}{int(index) + 1}"
  convs = [layer for layer in plain if layer.startswith("Conv")]
  return Names(
    (
      NamingScheme("plain", plain),
      *_variants(network, plain),
      NamingScheme("nn.Sequential", sequential_names(order)),
    ),
    ("Dense_0", convs[-1] if convs else "images"),
  )


def _variants(network: nn.Module, plain: Layers) -> Iterator[NamingScheme]:
  """Yields other naming schemes of a plain network."""
  if "Dense_1" not in plain:
    yield NamingScheme("plain, fc", plain | {"Dense_0": "fc"})
  match network:
    case MLP() | IdealMLP():
      yield NamingScheme(
        "nn.Sequential, flat inputs", sequential_names(_order(network)[2:])
      )
    case CNN():
      yield NamingScheme("fcbn1", plain | {"BatchNorm_3": "fcbn1"})
    case IdealLeNet():
      layers = {"Conv_0": "layer1.0", "BatchNorm_0": "layer1.1"}
      layers |= {"Conv_1": "layer2.0", "BatchNorm_1": "layer2.1"}
      yield NamingScheme("layer1 and layer2", layers | {"Dense_0": "fc"})
    case LeNet(channels=(_, _, _)):
      layers = {"Conv_2": "fc1", "Dense_0": "fc2", "Dense_1": "fc3"}
      yield NamingScheme(
        "three linear layers", plain | layers, as_linear=("Conv_2",)
      )
