"""Checks that the tensors of a state dict have the shapes of a network."""

from jaxkd.runtime.formatting import first_three
from jaxkd.serialization.pytorch.layouts import TensorLayout, TensorLayouts
from jaxkd.serialization.pytorch.tensor_names import Tensors
from jaxkd.types import DataSpec, JaxkdError


def check_shapes(
  model: str, spec: DataSpec, note: str, layouts: TensorLayouts, given: Tensors
) -> None:
  """Checks the tensors of a network.

  Args:
    model: name of the network.
    spec: of its inputs.
    note: how it differs from networks of the same name.
    layouts: of its arrays.
    given: tensors by the names of the layouts.

  Raises:
    JaxkdError: if one has another shape.
  """
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
    f"The tensors do not fit {model}: {first_three(cases)}. "
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


def _times(shape: tuple[int, ...]) -> str:
  return "x".join(map(str, shape)) or "a number"
