"""What the tables of names are made of: styles, and layers that repeat.

Every table goes from our layer to PyTorch's, both as paths: `Block_2/Conv_0` is
`layer2.0.conv1`. It may list layers that some sizes of a network lack, such as
the shortcut of a block that needs none.
"""

from collections.abc import Iterable
from typing import NamedTuple

Layers = dict[str, str]


class NamingScheme(NamedTuple):
  """One way to name the layers of a network.

  Attributes:
    name: name of those who name them so, for messages.
    layers: our layer, or single parameter, to theirs.
    as_linear: our convolutions that are linear layers there, of a flat map.
    as_conv: our linear layers that are convolutions there, with the height and
      width of the kernel.
  """

  name: str
  layers: Layers
  as_linear: tuple[str, ...] = ()
  as_conv: dict[str, tuple[int, int]] = {}  # noqa: RUF012 (never written to)


class Names(NamedTuple):
  """What a network is called elsewhere.

  Attributes:
    styles: the first is the one to write.
    flattened: the linear layer that sees a flat map and the convolution that
      made it, or `images`; empty where none does.
    note: how the network differs from those of the same name elsewhere.
  """

  styles: tuple[NamingScheme, ...]
  flattened: tuple[str, str] | tuple[()] = ()
  note: str = ""


def staged(pattern: str, counts: Iterable[int], first: int = 1) -> list[str]:
  """The places of blocks: `pattern` of the stage, from `first`, and of the
  block's number in it, from 0.

  >>> staged("layer{}.{}", (2, 1))
  ['layer1.0', 'layer1.1', 'layer2.0']
  """
  return [
    pattern.format(stage, index)
    for stage, count in enumerate(counts, first)
    for index in range(count)
  ]


def inside(block: str, places: Iterable[str], layers: Layers) -> Layers:
  """The layers of equal blocks: our `block_0` is at the first place.

  >>> inside("Block", ["layer1.0"], {"Conv_0": "conv1"})
  {'Block_0/Conv_0': 'layer1.0.conv1'}
  """
  found = {}
  for number, place in enumerate(places):
    found |= at(f"{block}_{number}", place, layers)
  return found


def at(ours: str, theirs: str, layers: Layers) -> Layers:
  """The layers of one block."""
  return {f"{ours}/{a}": f"{theirs}.{b}" for a, b in layers.items()}


def renamed(layers: Layers, old: str, new: str) -> Layers:
  return {ours: theirs.replace(old, new) for ours, theirs in layers.items()}


def sequence(order: str, prefix: str = "") -> Layers:
  """Numbers, as `nn.Sequential` gives them.

  >>> sequence("Conv_0 . Dense_0", "features.")
  {'Conv_0': 'features.0', 'Dense_0': 'features.2'}
  """
  return {
    ours: f"{prefix}{number}"
    for number, ours in enumerate(order.split())
    if ours != "."
  }
