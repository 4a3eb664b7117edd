"""Converts PyTorch state dicts to variables of our networks, and back.

Every tensor is used, or named in an error. Kernels are OIHW in PyTorch and HWIO
here, linear layers are transposed, and a flattened map has channels first in
PyTorch.
"""

from collections.abc import Mapping

from flax.traverse_util import flatten_dict, unflatten_dict
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.config import checks
from jaxkd.serialization.pytorch.layouts import (
  TensorLayout,
  TensorLayouts,
  layouts_of,
)
from jaxkd.serialization.pytorch.names import names_of
from jaxkd.serialization.pytorch.naming_schemes import Names
from jaxkd.types import DataSpec, JaxkdError, Variables

Tensors = dict[str, np.ndarray]

_ALTERNATIVE = "Use your own Flax module instead, see jaxkd.from_linen."


def from_torch(
  model: str,
  spec: DataSpec,
  tensors: Mapping[str, np.ndarray],
  *,
  flatten: str = "chw",
) -> Variables:
  """Converts a PyTorch state dict to variables of `model`.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    tensors: tensors by name, in a naming scheme of
      `jaxkd.serialization.pytorch.names`; a prefix of all names is removed.
    flatten: order in which maps are flattened before the linear layers: `chw`
      as in PyTorch, `hwc` if channels were moved last.

  Returns:
    Float32 variables with the structure of `jaxkd.models.init`.

  Raises:
    JaxkdError: if tensors are missing, not used (except for
      `num_batches_tracked`), of another shape, not floats or not finite.
  """
  checks.choice("flatten", flatten, ("chw", "hwc"))
  given = _strip(tensors)
  names = names_of(models.create(model, spec))
  layouts = _matching(
    model, names, layouts_of(model, spec, names, flatten), given
  )
  _check_shapes(model, spec, names.note, layouts, given)
  for name, tensor in given.items():
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
      raise JaxkdError(f"{name} holds {tensor.dtype}; weights must be floats.")
    if not np.isfinite(np.asarray(tensor, np.float32)).all():
      raise JaxkdError(f"{name} has values that are not finite.")
  variables = {
    path: layout.read(given[layout.name]) for path, layout in layouts.items()
  }
  return unflatten_dict(variables, sep="/")


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


def _strip(tensors: Mapping[str, np.ndarray]) -> Tensors:
  """Removes batch counters, and a prefix that all names share."""
  stripped = {
    name: tensor
    for name, tensor in tensors.items()
    if name.rpartition(".")[2] != "num_batches_tracked"
  }
  while len({name.partition(".")[0] for name in stripped}) == 1 and all(
    "." in name for name in stripped
  ):
    stripped = {name.partition(".")[2]: stripped[name] for name in stripped}
  return stripped


def _matching(
  model: str, names: Names, candidates: list[TensorLayouts], given: Tensors
) -> TensorLayouts:
  """Returns the layouts of the scheme whose names are those of the tensors."""

  def differences(layouts: TensorLayouts) -> tuple[list[str], list[str]]:
    known = [layout.name for layout in layouts.values()]
    missing = [name for name in known if name not in given]
    return missing, sorted(given.keys() - set(known))

  def distance(layouts: TensorLayouts) -> int:
    return sum(map(len, differences(layouts)))

  nearest = min(candidates, key=distance)
  missing, unused = differences(nearest)
  if not (missing or unused):
    return nearest
  scheme = names.schemes[candidates.index(nearest)].name
  parts = []
  if missing:
    parts.append(f"{_first_three(missing)} missing")
  if unused:
    parts.append(f"{_first_three(unused)} not used")
  raise JaxkdError(
    f"The tensors do not fit {model}. For the closest names ({scheme}): "
    f"{'; '.join(parts)}. {names.note} {_ALTERNATIVE}".replace("  ", " ")
  )


def _check_shapes(
  model: str, spec: DataSpec, note: str, layouts: TensorLayouts, given: Tensors
) -> None:
  wrong = [
    layout
    for layout in layouts.values()
    if given[layout.name].shape != layout.shape
  ]
  if not wrong:
    return
  cases = [
    f"{layout.name} is {_times(given[layout.name].shape)} in place of "
    f"{_times(layout.shape)}"
    for layout in wrong
  ]
  raise JaxkdError(
    f"The tensors do not fit {model}: {_first_three(cases)}. "
    + _remedy(spec, note, wrong, given)
  )


def _remedy(
  spec: DataSpec, note: str, wrong: list[TensorLayout], given: Tensors
) -> str:
  """Describes what to do about tensors of another shape."""
  classes = {
    given[layout.name].shape[0]
    for layout in wrong
    if given[layout.name].shape[1:] == layout.shape[1:]
    and layout.shape[:1] == (spec.num_classes,)
  }
  if len(classes) == 1 and len(wrong) < 3:
    return (
      f"They are those of {classes.pop()} classes, and spec.num_classes is "
      f"{spec.num_classes}."
    )
  shape = _times(spec.shape)
  return f"Compare spec.shape={shape} with the network's inputs. {note}".strip()


def _first_three(items: list[str]) -> str:
  more = f" and {len(items) - 3} more" if len(items) > 3 else ""
  return ", ".join(items[:3]) + more


def _times(shape: tuple[int, ...]) -> str:
  return "x".join(map(str, shape)) or "a number"
