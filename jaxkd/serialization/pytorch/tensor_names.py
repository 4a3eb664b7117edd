"""Names of tensors as wrappers and other libraries write them."""

from collections.abc import Callable
import re

import numpy as np

from jaxkd.serialization.pytorch.extra_tensors import COUNTER

Tensors = dict[str, np.ndarray]
# Parts that wrappers put into a name, wherever the wrapped module is.
_WRAPPERS = (
  "_checkpoint_wrapped_module", "_forward_module", "_fsdp_wrapped_module",
  "_orig_mod", "module",
)  # fmt: skip
# The tensors of a normalisation in TensorFlow and in early transformers.
_LEAVES = {
  "gamma": "weight",
  "beta": "bias",
  "moving_mean": "running_mean",
  "moving_var": "running_var",
  "moving_variance": "running_var",
}


def without_wrappers(tensors: Tensors) -> Tensors:
  """Removes batch counters, and the parts of names that wrappers put in; names
  become those of PyTorch's layers, with dots between their parts.
  """
  tensors = {
    name: tensor
    for name, tensor in tensors.items()
    if name.rpartition(".")[2] != COUNTER
  }
  # The same network wrapped and not wrapped stays in two.
  return _renamed(_renamed(tensors, _dotted), unwrapped)


def with_leaves_of_pytorch(tensors: Tensors) -> Tensors:
  """Gives the tensors of normalisations that have the names of TensorFlow or of
  early transformers those of PyTorch.
  """
  return _renamed(tensors, _of_pytorch)


def _renamed(tensors: Tensors, rename: Callable[[str], str]) -> Tensors:
  """Renames all tensors, or none if two would have one name."""
  others = {rename(name): tensor for name, tensor in tensors.items()}
  return others if len(others) == len(tensors) else tensors


def unwrapped(name: str) -> str:
  """Returns a name without the parts that wrappers put in."""
  return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _dotted(name: str) -> str:
  """Returns a name with dots between its parts.

  >>> _dotted("state_dict/layer1/0/conv1/weight")
  'state_dict.layer1.0.conv1.weight'
  """
  return re.sub(r"[/:|]+", ".", name.strip())


def _of_pytorch(name: str) -> str:
  layer, dot, leaf = name.rpartition(".")
  return layer + dot + _LEAVES.get(leaf, leaf) if layer else name
