"""Finds a network's tensors among those of a state dict.

Wrappers put prefixes before names (`module.`, `model.`, `_orig_mod.`,
`backbone.`), and training leaves tensors of its own beside them (`n_averaged`,
`criterion.weight`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
import re
from typing import NamedTuple

import numpy as np

from jaxkd.serialization.pytorch.extra_tensors import (
  find_copies,
  is_named_by_training,
  is_of_training,
)
from jaxkd.serialization.pytorch.layouts import TensorLayout, TensorLayouts
from jaxkd.serialization.pytorch.tensor_names import Tensors, unwrapped
from jaxkd.types import JaxkdError


class Selection(NamedTuple):
  """The tensors of a network, by the names of its layouts.

  Attributes:
    tensors: those that the network has.
    unused: tensors below the prefix that it does not have.
    missing: names that there are no tensors for.
    outside: names of other tensors, which are left out.
    prefix: what stands before the names of the network's tensors.
  """

  tensors: Tensors
  unused: tuple[str, ...]
  missing: tuple[str, ...]
  outside: tuple[str, ...]
  prefix: str

  @property
  def distance(self) -> int:
    """The number of names that do not fit."""
    return len(self.missing) + len(self.unused)


def select(
  tensors: Tensors, names: Collection[str], prefix: str | None = None
) -> Selection:
  """Returns the tensors under the prefix that fits these names best.

  Args:
    tensors: from `without_wrappers`.
    names: of the network's tensors, by one naming scheme.
    prefix: the one to take; None finds it.

  Raises:
    JaxkdError: if two prefixes fit equally, with other tensors, or if no tensor
      has the prefix.
  """
  if prefix is not None:
    prefix = f"{prefix.rstrip('.')}." if prefix else ""
    if not any(name.startswith(prefix) for name in tensors):
      prefix = unwrapped(prefix)
    if not any(name.startswith(prefix) for name in tensors):
      raise JaxkdError(
        f"--prefix={prefix}: no tensor has a name that begins so; there is "
        f"{min(tensors, default='none')}."
      )
    return _below(prefix, tensors, names)
  # Optimisers keep tensors of the same names, which are a last resort.
  usual = [name for name in tensors if not is_named_by_training(name)]
  counts = _count_prefixes(usual, names) or _count_prefixes(tensors, names)
  most = max(counts.values(), default=0)
  best = [prefix for prefix, count in counts.items() if count == most]
  selections = [_below(prefix, tensors, names) for prefix in sorted(best)]
  if not selections:
    return _below("", tensors, names)
  first, *others = sorted(selections, key=lambda each: each.distance)
  for other in others:
    if not first.missing and not _equal(first.tensors, other.tensors):
      raise JaxkdError(
        f"The file holds the network more than once, with other weights: below "
        f"{first.prefix!r} and {other.prefix!r}; choose one with "
        f"--prefix={other.prefix or first.prefix}"
      )
  return first


def _count_prefixes(
  given: Iterable[str], names: Collection[str]
) -> Counter[str]:
  """Counts what stands before the network's names in those that are given."""
  return Counter(
    name[:start]
    for name in given
    for start in _starts(name)
    if name[start:] in names
  )


def _starts(name: str) -> Iterator[int]:
  """Yields where the parts of a name begin; the first may have a prefix."""
  yield 0
  for match in re.finditer(r"\.|^[^.]*?_", name):
    yield match.end()


def _below(prefix: str, tensors: Tensors, names: Collection[str]) -> Selection:
  below = {
    name[len(prefix) :]: tensor
    for name, tensor in tensors.items()
    if name.startswith(prefix)
  }
  chosen = {name: below[name] for name in names if name in below}
  extra = [name for name in below if name not in chosen]
  unused = [name for name in extra if not is_of_training(name, below[name])]
  copies = find_copies(unused, below, chosen)
  unused = [name for name in unused if name not in copies]
  outside = [name for name in tensors if not name.startswith(prefix)]
  outside += [prefix + name for name in extra if name not in unused]
  return Selection(
    chosen,
    tuple(sorted(unused)),
    tuple(name for name in names if name not in chosen),
    tuple(sorted(outside)),
    prefix,
  )


def _equal(a: Tensors, b: Tensors) -> bool:
  return a.keys() == b.keys() and all(
    np.array_equal(a[name], b[name]) for name in a
  )


def with_head(
  selection: Selection, tensors: Tensors, layouts: TensorLayouts
) -> tuple[Selection, str]:
  """Takes the last layer from elsewhere, where a backbone has a head of its
  own name, as in `backbone.conv1.weight` and `head.weight`.

  Returns:
    The selection, and the name of the layer that was taken; empty if the
    selection stays as it was. Only the bias may still be missing then.
  """
  missing = set(selection.missing)
  needed = {
    layout.name: layout.shape
    for layout in layouts.values()
    if layout.name in missing
  }
  layers = {name.rpartition(".")[0] for name in missing}
  if len(layers) != 1 or not all(len(shape) <= 2 for shape in needed.values()):
    return selection, ""
  given = {selection.prefix + name for name in selection.tensors}
  others = {n: tensor for n, tensor in tensors.items() if n not in given}
  weights = {n: shape for n, shape in needed.items() if len(shape) == 2}
  heads = _heads(others, needed) or (weights and _heads(others, weights))
  # Tied heads are one.
  different = {
    tuple(tensors[other].tobytes() for other in found.values())
    for found in heads
  }
  if len(different) != 1:
    return selection, ""
  found = heads[0]
  prefix, taken = selection.prefix, set(found.values())
  equal = {other for found in heads for other in found.values()}
  return selection._replace(
    tensors=selection.tensors | {n: tensors[o] for n, o in found.items()},
    unused=tuple(n for n in selection.unused if prefix + n not in equal),
    missing=tuple(n for n in selection.missing if n not in found),
    outside=tuple(sorted({*selection.outside, *equal} - taken)),
  ), next(iter(taken)).rpartition(".")[0]


def _heads(
  tensors: Tensors, needed: dict[str, tuple[int, ...]]
) -> list[dict[str, str]]:
  """Returns the layers that have all tensors of these shapes: the names of
  theirs by those that are needed.
  """
  heads = []
  for layer in dict.fromkeys(name.rpartition(".")[0] for name in tensors):
    found = {n: f"{layer}.{n.rpartition('.')[2]}".lstrip(".") for n in needed}
    if all(
      other in tensors and tensors[other].shape == needed[n]
      for n, other in found.items()
    ):
      heads.append(found)
  return heads


def with_last_bias(
  selection: Selection, layouts: TensorLayouts, num_classes: int
) -> tuple[Selection, str]:
  """Gives the last layer a bias of 0, where it has weights and no bias.

  Returns:
    The selection, and the name of the bias; empty if there was one.
  """
  name = selection.missing[0] if len(selection.missing) == 1 else ""
  shapes = {layout.name: layout.shape for layout in layouts.values()}
  if not name.endswith(".bias") or shapes[name] != (num_classes,):
    return selection, ""
  weight = selection.tensors.get(f"{name.removesuffix('bias')}weight")
  if weight is None or weight.ndim < 2:
    return selection, ""
  bias = np.zeros(len(weight), np.float32)
  tensors = selection.tensors | {name: bias}
  return selection._replace(tensors=tensors, missing=()), name


def without_ones(tensors: Tensors, layouts: TensorLayouts) -> Tensors:
  """Removes or adds axes of length 1 where a shape differs by these alone, as
  that of a linear layer that is a 1x1 convolution.
  """
  squeezed = lambda shape: tuple(size for size in shape if size != 1)
  fitting = {
    layout.name: tensors[layout.name].reshape(layout.shape)
    for layout in layouts.values()
    if squeezed(tensors[layout.name].shape) == squeezed(layout.shape)
  }
  return tensors | fitting


def with_two_rows(
  tensors: Tensors, layouts: TensorLayouts, num_classes: int
) -> tuple[Tensors, bool]:
  """Gives a last layer with one output, the logit of class 1, a second one: a
  logit of 0 for class 0.

  Returns:
    The tensors, and whether there was such a layer.
  """
  rows = [
    layout
    for layout in layouts.values()
    if num_classes == 2 and _has_one_row(layout, tensors[layout.name])
  ]
  if not rows:
    return tensors, False
  return tensors | {
    layout.name: np.concatenate(
      [np.zeros_like(tensors[layout.name]), tensors[layout.name]]
    )
    for layout in rows
  }, True


def _has_one_row(layout: TensorLayout, tensor: np.ndarray) -> bool:
  return layout.shape[:1] == (2,) and tensor.shape == (1, *layout.shape[1:])
