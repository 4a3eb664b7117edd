"""Naming schemes of PyTorch networks, and helpers to define them.

A table of names maps the path of a layer of ours to that of PyTorch's, for
example `Block_2/Conv_0` to `layer2.0.conv1`. It may have layers that some sizes
of a network do not have, such as the shortcut of a block.
"""

from collections.abc import Iterable
from typing import NamedTuple

Layers = dict[str, str]  # from paths of our layers to PyTorch's


class NamingScheme(NamedTuple):
  """One way to name the layers of a network in PyTorch.

  Attributes:
    name: name of the scheme, for messages.
    layers: PyTorch's paths by the paths of our layers, or single parameters.
    as_linear: our convolutions that are linear layers of a flattened map in
      PyTorch.
    as_conv: our linear layers that are convolutions in PyTorch, with the height
      and width of their kernels.
  """

  name: str
  layers: Layers
  as_linear: tuple[str, ...] = ()
  as_conv: dict[str, tuple[int, int]] = {}  # noqa: RUF012 (never written to)


class Names(NamedTuple):
  """The naming schemes of a network.

  Attributes:
    schemes: schemes that are read, of which the first one is written.
    flattened: the linear layer whose input is a flattened map, and the
      convolution that makes the map, or `images`; empty without such a layer.
    note: how the network differs from PyTorch networks of the same name.
  """

  schemes: tuple[NamingScheme, ...]
  flattened: tuple[str, str] | tuple[()] = ()
  note: str = ""


def block_names(
  pattern: str, counts: Iterable[int], first: int = 1
) -> list[str]:
  """Lists the names of the blocks of all stages.

  Args:
    pattern: format of a name, with the stage and the block's index in it.
    counts: number of blocks of each stage.
    first: number of the first stage.

  >>> block_names("layer{}.{}", (2, 1))
  ['layer1.0', 'layer1.1', 'layer2.0']
  """
  return [
    pattern.format(stage, index)
    for stage, count in enumerate(counts, first)
    for index in range(count)
  ]


def nest_blocks(block: str, names: Iterable[str], layers: Layers) -> Layers:
  """Maps the layers of equal blocks: our `block_0` has the first of the names.

  >>> nest_blocks("Block", ["layer1.0"], {"Conv_0": "conv1"})
  {'Block_0/Conv_0': 'layer1.0.conv1'}
  """
  nested = {}
  for index, name in enumerate(names):
    nested |= nest(f"{block}_{index}", name, layers)
  return nested


def nest(block: str, torch_name: str, layers: Layers) -> Layers:
  """Puts the layers of one block under its name, ours and PyTorch's."""
  return {
    f"{block}/{layer}": f"{torch_name}.{name}" for layer, name in layers.items()
  }


def replace_in_names(layers: Layers, old: str, new: str) -> Layers:
  """Replaces a part of all PyTorch names."""
  return {layer: name.replace(old, new) for layer, name in layers.items()}


def sequential_names(order: str, prefix: str = "") -> Layers:
  """Numbers layers as `nn.Sequential` does.

  Args:
    order: our layers in order, with a dot for each without parameters.
    prefix: of all PyTorch names.

  >>> sequential_names("Conv_0 . Dense_0", "features.")
  {'Conv_0': 'features.0', 'Dense_0': 'features.2'}
  """
  return {
    layer: f"{prefix}{number}"
    for number, layer in enumerate(order.split())
    if layer != "."
  }
