"""Weights that PyTorch keeps as several tensors and computes from them.

Weight normalisation keeps a direction and a length, spectral normalisation a
weight and two vectors, pruning a weight and a mask. What the network computes
with in evaluation mode follows from these; it is worked out here.
"""

from collections.abc import Callable, Collection
import re

import numpy as np

from jaxkd.types import JaxkdError

Tensors = dict[str, np.ndarray]
# How the last part of a name differs from the weight's, in `torch.nn.utils` and
# in `torch.nn.utils.parametrizations`; {} is the weight's own name.
_OF_PARAMETRIZE = "parametrizations."
_WEIGHT_NORM = (
  ("{}_g", "{}_v"),
  ("parametrizations.{}.original0", "parametrizations.{}.original1"),
)
_SPECTRAL_NORM = (
  ("{}_orig", "{}_u", "{}_v"),
  (
    "parametrizations.{}.original",
    "parametrizations.{}.0._u",
    "parametrizations.{}.0._v",
  ),
)
_PRUNING = (("{}_orig", "{}_mask"),)


def are_parametrised(names: Collection[str]) -> bool:
  """Returns whether there are names of weights that are kept so."""
  return any(
    _pattern(forms[0]).fullmatch(name) for forms, _ in _RULES for name in names
  )


def computed_weights(tensors: Tensors) -> tuple[Tensors, list[str]]:
  """Replaces tensors that weights are computed from by these weights.

  Args:
    tensors: by the names of a state dict.

  Returns:
    The tensors, and notes about what was computed, for people.

  Raises:
    JaxkdError: if a parametrisation is another one.
  """
  result, counts = dict(tensors), dict[str, int]()
  for forms, rule in _RULES:
    for name in tensors:
      match = _pattern(forms[0]).fullmatch(name)
      if not match:
        continue
      layer, leaf = match["layer"], match["leaf"]
      parts = [layer + form.format(leaf) for form in forms]
      if not all(part in result for part in parts):
        continue
      result[layer + leaf] = rule(*(result.pop(part) for part in parts))
      kind = rule.__name__.strip("_").replace("_", " ")
      counts[kind] = counts.get(kind, 0) + 1
  left = [name for name in result if f".{_OF_PARAMETRIZE}" in f".{name}"]
  if left:
    layer, _, rest = f".{left[0]}".partition(f".{_OF_PARAMETRIZE}")
    leaf = rest.partition(".")[0]
    raise JaxkdError(
      f"{left[0]} belongs to a parametrisation that is not known here. Call "
      "torch.nn.utils.parametrize.remove_parametrizations("
      f"net{layer}, {leaf!r}) where your network is, and save it again."
    )
  notes = [f"{kind} of {n} tensors computed" for kind, n in counts.items()]
  return result, notes


def _pattern(form: str) -> re.Pattern[str]:
  """Returns what names of a form look like, with the groups layer and leaf."""
  before, after = map(re.escape, form.split("{}"))
  return re.compile(rf"(?P<layer>(?:.+\.)?){before}(?P<leaf>\w+?){after}")


def _weight_norm(length: np.ndarray, direction: np.ndarray) -> np.ndarray:
  """The length has an axis of length 1 wherever the norm is taken over, or is
  a single number.
  """
  v = direction.astype(np.float64)
  axes = [
    axis
    for axis in range(v.ndim)
    if length.ndim != v.ndim or length.shape[axis] == 1
  ]
  norm = np.sqrt(np.square(v).sum(tuple(axes), keepdims=True))
  g = length.astype(np.float64).reshape(
    length.shape if length.ndim == v.ndim else (1,) * v.ndim
  )
  return (v * (g / norm)).astype(np.float32)


def _spectral_norm(
  weight: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """The vectors are the singular ones that training has kept."""
  axis = 0 if left.size == weight.shape[0] else 1
  matrix = np.moveaxis(weight.astype(np.float64), axis, 0)
  matrix = matrix.reshape(left.size, -1)
  sigma = left.astype(np.float64) @ matrix @ right.astype(np.float64)
  return (weight.astype(np.float64) / sigma).astype(np.float32)


def _pruning(weight: np.ndarray, mask: np.ndarray) -> np.ndarray:
  return weight * mask.astype(weight.dtype)


_RULES: list[tuple[tuple[str, ...], Callable[..., np.ndarray]]] = [
  *((forms, _weight_norm) for forms in _WEIGHT_NORM),
  *((forms, _spectral_norm) for forms in _SPECTRAL_NORM),
  *((forms, _pruning) for forms in _PRUNING),
]
