"""Tensors of state dicts that are none of a network's weights: what training
leaves beside them, and copies of the weights by other names.
"""

from collections.abc import Iterable, Mapping
import re

import numpy as np

COUNTER = "num_batches_tracked"  # of PyTorch's BatchNorm, not needed
# Parts of names of tensors that training needs and the network does not.
_TRAINING = re.compile(
  r"criterion|criteria|loss\w*|\w+_loss|metrics?|\w+_metrics?"
  r"|(train|val|valid|test)_\w+|class_weights?|pos_weight|n_averaged|epoch"
  r"|(ema_)?decay|num_updates"  # of moving averages of the weights
  r"|optimi[sz]er\w*|(lr_)?schedulers?|(grad_)?scaler|rng_states?|param_groups"
  r"|(max_)?exp_avg\w*|momentum_buffer|square_avg"  # states by name
  r"|total_ops|total_params"  # of a profiler, beside every layer
)


def is_named_by_training(name: str) -> bool:
  """Returns whether a part of a name says that only training needs the tensor.

  >>> is_named_by_training("optimizer.state.0.exp_avg")
  True
  """
  return any(_TRAINING.fullmatch(part) for part in name.split("."))


def is_of_training(name: str, tensor: np.ndarray) -> bool:
  """Returns whether a tensor is none of a network's weights: a counter, a
  single number, an empty one, or one that only training needs.
  """
  single = tensor.size == 0 or (tensor.ndim == 0 and "." not in name)
  return tensor.dtype.kind in "iub" or single or is_named_by_training(name)


def find_copies(
  names: Iterable[str], tensors: Mapping[str, np.ndarray], used: Iterable[str]
) -> set[str]:
  """Returns the names of layers' tensors that are all equal to those of a layer
  that is used, as those of a tied layer are.

  Args:
    names: of the tensors that are not used.
    tensors: by name.
    used: names of the others.
  """
  layers = _by_layer(used, tensors).values()
  return {
    f"{layer}.{leaf}"
    for layer, leaves in _by_layer(names, tensors).items()
    if "weight" in leaves and any(_holds(other, leaves) for other in layers)
    for leaf in leaves
  }


def _by_layer(
  names: Iterable[str], tensors: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
  layers: dict[str, dict[str, np.ndarray]] = {}
  for name in names:
    layer, _, leaf = name.rpartition(".")
    layers.setdefault(layer, {})[leaf] = tensors[name]
  return layers


def _holds(
  layer: Mapping[str, np.ndarray], leaves: Mapping[str, np.ndarray]
) -> bool:
  return layer.keys() >= leaves.keys() and all(
    np.array_equal(layer[leaf], tensor) for leaf, tensor in leaves.items()
  )
