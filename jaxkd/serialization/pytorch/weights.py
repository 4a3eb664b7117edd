"""Converts PyTorch state dicts to variables of our networks, and back.

Every tensor is used, or named in an error. Kernels are OIHW in PyTorch and HWIO
here, linear layers are transposed, and a flattened map has channels first in
PyTorch.
"""

from collections.abc import Mapping
from typing import NamedTuple

from flax.traverse_util import flatten_dict, unflatten_dict
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.config import checks
from jaxkd.runtime.formatting import first_three
from jaxkd.serialization.pytorch.layouts import (
  TensorLayouts,
  layouts_of,
)
from jaxkd.serialization.pytorch.names import names_of
from jaxkd.serialization.pytorch.naming_schemes import Names
from jaxkd.serialization.pytorch.normalisers import find_normaliser
from jaxkd.serialization.pytorch.parametrisations import computed_weights
from jaxkd.serialization.pytorch.shape_checks import check_shapes
from jaxkd.serialization.pytorch.state_dicts import (
  Selection,
  Tensors,
  select,
  with_head,
  with_last_bias,
  with_two_rows,
  without_ones,
)
from jaxkd.serialization.pytorch.tensor_names import (
  with_leaves_of_pytorch,
  without_wrappers,
)
from jaxkd.types import DataSpec, JaxkdError, Variables

_ALTERNATIVE = "Use your own Flax module instead, see jaxkd.from_linen."
_FUSED = (
  "Batch normalisation has been fused into the convolutions; give the state "
  "dict from before that, or the module itself with --torch=MODULE:FUNCTION."
)


class Converted(NamedTuple):
  """The variables that a state dict was converted to.

  Attributes:
    variables: float32, with the structure of `jaxkd.models.init`.
    used: the number of tensors that they were made of.
    notes: what was left out or changed, for people.
  """

  variables: Variables
  used: int
  notes: tuple[str, ...]


def from_torch(
  model: str,
  spec: DataSpec,
  tensors: Mapping[str, np.ndarray],
  *,
  flatten: str = "chw",
) -> Variables:
  """Returns the variables of `convert` alone."""
  return convert(model, spec, tensors, flatten=flatten).variables


def convert(
  model: str,
  spec: DataSpec,
  tensors: Mapping[str, np.ndarray],
  *,
  flatten: str = "chw",
  prefix: str | None = None,
) -> Converted:
  """Converts a PyTorch state dict to variables of `model`.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    tensors: tensors by name, in a naming scheme of
      `jaxkd.serialization.pytorch.names`, behind any prefix.
    flatten: order in which maps are flattened before the linear layers: `chw`
      as in PyTorch, `hwc` if channels were moved last.
    prefix: of the network's tensors; None finds it.

  Raises:
    JaxkdError: if tensors are missing, not used, of another shape, not floats
      or not finite; or if there is a normaliser that is not that of the spec.
  """
  checks.choice("flatten", flatten, ("chw", "hwc"))
  given = with_leaves_of_pytorch(without_wrappers(dict(tensors)))
  given, computed = computed_weights(given)
  names = names_of(models.create(model, spec))
  candidates = layouts_of(model, spec, names, flatten)
  layouts, selection, notes = _matching(
    model, names, candidates, given, prefix, spec.num_classes
  )
  notes += computed
  found = without_ones(selection.tensors, layouts)
  found, single = with_two_rows(found, layouts, spec.num_classes)
  if single:
    notes.append("one output, the logit of class 1; that of class 0 is 0")
  others = {name: given[name] for name in selection.outside}
  normaliser = find_normaliser(others, spec.shape[-1])
  if normaliser:
    normaliser.check(spec)
  if others:
    notes.append(f"left out: {first_three(list(others))}")
  check_shapes(model, spec, names.note, layouts, found)
  for name, tensor in found.items():
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
      raise JaxkdError(f"{name} holds {tensor.dtype}; weights must be floats.")
    if not np.isfinite(np.asarray(tensor, np.float32)).all():
      raise JaxkdError(f"{name} has values that are not finite.")
  variables = {
    path: layout.read(found[layout.name]) for path, layout in layouts.items()
  }
  return Converted(unflatten_dict(variables, sep="/"), len(found), tuple(notes))


def to_torch(
  model: str, spec: DataSpec, variables: Variables
) -> dict[str, np.ndarray]:
  """Converts variables of `model` to a PyTorch state dict.

  It is the inverse of `from_torch`, with the first naming scheme of the model.
  `load_state_dict` accepts the result: `num_batches_tracked`, which is missing,
  then starts from zero.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    variables: variables of this model.

  Raises:
    JaxkdError: if they are not the variables of this model.
  """
  names = names_of(models.create(model, spec))
  layouts, *_ = layouts_of(model, spec, names, "chw")
  given = flatten_dict(variables, sep="/")
  if {path: leaf.shape for path, leaf in given.items()} != {
    path: layout.array_shape for path, layout in layouts.items()
  }:
    raise JaxkdError(
      f"These are not the variables of {model!r} for {spec.name}: names or "
      "shapes differ. Give the model and spec that the classifier was made of."
    )
  return {
    layout.name: layout.write(np.asarray(given[path]))
    for path, layout in layouts.items()
  }


def _matching(
  model: str,
  names: Names,
  candidates: list[TensorLayouts],
  given: Tensors,
  prefix: str | None,
  num_classes: int,
) -> tuple[TensorLayouts, Selection, list[str]]:
  """Returns the layouts of the scheme whose names are those of the tensors, the
  tensors, and notes about them.
  """
  selections = [
    select(given, {layout.name for layout in layouts.values()}, prefix)
    for layouts in candidates
  ]
  index = min(
    range(len(candidates)), key=lambda index: selections[index].distance
  )
  layouts, selection = candidates[index], selections[index]
  selection, head = with_head(selection, given, layouts)
  notes = [f"{head} is the last layer"] if head else []
  selection, bias = with_last_bias(selection, layouts, num_classes)
  notes += [f"{bias} is 0, the file has none"] if bias else []
  # A normaliser beside the layers is none of them.
  unused = {selection.prefix + name: name for name in selection.unused}
  normaliser = find_normaliser({name: given[name] for name in unused}, 0)
  if normaliser:
    selection = selection._replace(
      unused=tuple(
        short for name, short in unused.items() if name not in normaliser.names
      ),
      outside=(*selection.outside, *normaliser.names),
    )
  if not selection.distance:
    return layouts, selection, notes
  parts = []
  if selection.missing:
    parts.append(f"{first_three(sorted(selection.missing))} missing")
  if selection.unused:
    parts.append(f"{first_three(list(selection.unused))} not used")
  raise JaxkdError(
    f"The tensors do not fit {model}. For the closest names "
    f"({names.schemes[index].name}): {'; '.join(parts)}. "
    + (
      _FUSED if _is_fused(selection) else f"{names.note} {_ALTERNATIVE}"
    ).strip()
  )


def _is_fused(selection: Selection) -> bool:
  """Returns whether nothing but all of the batch normalisation is missing, and
  nothing but biases of convolutions is too much.
  """
  missing = {name.rpartition(".")[0] for name in selection.missing}
  norms = {
    name.rpartition(".")[0]
    for name in (*selection.missing, *selection.tensors)
    if name.endswith(".running_mean")
  }
  return (
    bool(norms)
    and missing == norms
    and all(f"{norm}.weight" in selection.missing for norm in norms)
    and all(name.endswith(".bias") for name in selection.unused)
  )
