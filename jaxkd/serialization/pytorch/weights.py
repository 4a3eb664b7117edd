"""PyTorch state dicts as variables of our networks, and back.

Every tensor is used, or named in an error. What differs is the layout: kernels
are OIHW there and HWIO here, linear layers are transposed, and the first linear
layer behind a flatten sees the map channel by channel there.
"""

from collections.abc import Mapping

from flax.traverse_util import flatten_dict, unflatten_dict
import jax.numpy as jnp
import numpy as np

from jaxkd import models
from jaxkd.config import checks
from jaxkd.serialization.pytorch import names as torch_names
from jaxkd.serialization.pytorch.layouts import (
  TensorLayout,
  TensorLayouts,
  layouts_of,
)
from jaxkd.serialization.pytorch.naming_schemes import Names
from jaxkd.types import DataSpec, JaxkdError, Variables

Tensors = dict[str, np.ndarray]

_OWN = "Bring such a network as your own Flax module, see jaxkd.from_linen."


def from_torch(
  model: str,
  spec: DataSpec,
  tensors: Mapping[str, np.ndarray],
  *,
  flatten: str = "chw",
) -> Variables:
  """The variables of `model` from a PyTorch state dict.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    tensors: by name, in a style that `jaxkd.serialization.pytorch.names` has; a
      prefix that all names share does not matter.
    flatten: order in which a map was flattened before the linear layers: `chw`
      as PyTorch's `flatten` does, `hwc` if channels had been moved last.

  Returns:
    Float32 variables as `jaxkd.models.init` makes them.

  Raises:
    JaxkdError: if tensors are missing, left over (`num_batches_tracked` may
      be), of another shape, no floats or not finite.
  """
  checks.choice("flatten", flatten, ("chw", "hwc"))
  given = _stripped(tensors)
  names = torch_names.of(models.create(model, spec))
  found = _fitting(model, names, layouts_of(model, spec, names, flatten), given)
  _check_shapes(model, spec, names.note, found, given)
  for name, tensor in given.items():
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
      raise JaxkdError(f"{name} holds {tensor.dtype}; weights must be floats.")
    if not np.isfinite(np.asarray(tensor, np.float32)).all():
      raise JaxkdError(f"{name} has values that are not finite.")
  ours = {path: place.read(given[place.name]) for path, place in found.items()}
  return unflatten_dict(ours, sep="/")


def to_torch(
  model: str, spec: DataSpec, variables: Variables
) -> dict[str, np.ndarray]:
  """A PyTorch state dict of `variables`, in the first style of `model`; the
  inverse of `from_torch`.

  `load_state_dict` takes it as it is: PyTorch counts batches from zero where
  `num_batches_tracked` is missing.

  Args:
    model: name in `jaxkd.models`.
    spec: spec of the inputs.
    variables: variables of this model.

  Raises:
    JaxkdError: if they are not the variables of this model.
  """
  names = torch_names.of(models.create(model, spec))
  first, *_ = layouts_of(model, spec, names, "chw")
  given = flatten_dict(variables, sep="/")
  if {path: leaf.shape for path, leaf in given.items()} != {
    path: place.ours for path, place in first.items()
  }:
    raise JaxkdError(
      f"These are not the variables of {model!r} for {spec.name}: names or "
      "shapes differ. Give the model and spec that the classifier was made of."
    )
  return {
    place.name: place.write(np.asarray(given[path]))
    for path, place in first.items()
  }


def _stripped(tensors: Mapping[str, np.ndarray]) -> Tensors:
  """Without counters of batches, and without a prefix that all names share."""
  found = {
    name: tensor
    for name, tensor in tensors.items()
    if name.rpartition(".")[2] != "num_batches_tracked"
  }
  while len({name.partition(".")[0] for name in found}) == 1 and all(
    "." in name for name in found
  ):
    found = {name.partition(".")[2]: found[name] for name in found}
  return found


def _fitting(
  model: str, names: Names, styles: list[TensorLayouts], given: Tensors
) -> TensorLayouts:
  """The places of the style whose names are those of the tensors."""

  def differences(places: TensorLayouts) -> tuple[list[str], list[str]]:
    known = [place.name for place in places.values()]
    missing = [name for name in known if name not in given]
    return missing, sorted(given.keys() - set(known))

  def distance(places: TensorLayouts) -> int:
    return sum(map(len, differences(places)))

  nearest = min(styles, key=distance)
  missing, left_over = differences(nearest)
  if not (missing or left_over):
    return nearest
  style = names.styles[styles.index(nearest)].name
  parts = []
  if missing:
    parts.append(f"{_some(missing)} missing")
  if left_over:
    parts.append(f"{_some(left_over)} left over")
  raise JaxkdError(
    f"The tensors do not fit {model}. By the nearest names ({style}): "
    f"{'; '.join(parts)}. " + (f"{names.note} {_OWN}" if names.note else _OWN)
  )


def _check_shapes(
  model: str, spec: DataSpec, note: str, places: TensorLayouts, given: Tensors
) -> None:
  wrong = [
    place for place in places.values() if given[place.name].shape != place.shape
  ]
  if not wrong:
    return
  cases = [
    f"{place.name} is {_times(given[place.name].shape)} where "
    f"{_times(place.shape)} fits"
    for place in wrong
  ]
  raise JaxkdError(
    f"The tensors do not fit {model}: {_some(cases)}. "
    + _cause(spec, note, wrong, given)
  )


def _cause(
  spec: DataSpec, note: str, wrong: list[TensorLayout], given: Tensors
) -> str:
  """What to do about tensors of another shape."""
  classes = {
    given[place.name].shape[0]
    for place in wrong
    if given[place.name].shape[1:] == place.shape[1:]
    and place.shape[:1] == (spec.num_classes,)
  }
  if len(classes) == 1 and len(wrong) < 3:
    return (
      f"They are those of {classes.pop()} classes, and spec.num_classes is "
      f"{spec.num_classes}."
    )
  shape = _times(spec.shape)
  return f"Compare spec.shape={shape} with the network's inputs. {note}".strip()


def _some(items: list[str]) -> str:
  """The first three, and how many there are."""
  more = f" and {len(items) - 3} more" if len(items) > 3 else ""
  return ", ".join(items[:3]) + more


def _times(shape: tuple[int, ...]) -> str:
  return "x".join(map(str, shape)) or "a number"
