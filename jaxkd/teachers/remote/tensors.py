"""The input and output tensors of a model in the v2 protocol."""

from collections.abc import Sequence
import math
from typing import NamedTuple

from jaxkd.config.teacher_fields import output_index
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.remote.codec import ResponseSpec

FLOATS = ("FP16", "BF16", "FP32", "FP64")
INTEGERS = ("INT8", "INT16", "INT32", "INT64")
INTEGERS += tuple(f"U{name}" for name in INTEGERS)
DECLARE = (
  "set teacher.input.name, teacher.input.datatype (UINT8 or FP32), "
  "teacher.input.shape if it isn't that of the images, and teacher.output for "
  "the output"
)


class InputTensor(NamedTuple):
  """What a config says about the input tensor, in place of the metadata.

  Attributes:
    name: its name; empty takes that of the metadata.
    datatype: `UINT8`, `FP32` or `FP64`; empty takes that of the metadata.
    shape: its shape without the batch; empty takes that of the metadata.
  """

  name: str = ""
  datatype: str = ""
  shape: tuple[int, ...] = ()


def choose_input(
  metadata: dict[str, Json], declared: InputTensor, model: str
) -> dict[str, Json]:
  """Returns what a model's metadata say about its input tensor.

  Raises:
    JaxkdError: if they say too little, or name several.
  """
  inputs = objects(metadata.get("inputs"))
  if declared.name:
    inputs = [i for i in inputs if i.get("name") == declared.name]
  if len(inputs) > 1:
    raise JaxkdError(
      f"The model {model} has {len(inputs)} inputs; only models with one input "
      "can be asked. teacher.input.name chooses one, if the others may be left "
      "out."
    )
  tensor = _with_usual_names(inputs[0]) if inputs else {}
  missing = [
    f"teacher.input.{name}"
    for name in ("name", "datatype")
    if not getattr(declared, name) and not tensor.get(name)
  ]
  if missing:
    raise JaxkdError(
      f"The server's metadata of {model} say too little about its input: set "
      f"{' and '.join(missing)} (datatype UINT8 or FP32), teacher.input.shape "
      "if it isn't that of the images, and teacher.output for the output."
    )
  return tensor


def objects(value: Json) -> list[dict[str, Json]]:
  """Returns the objects in a list; none if it is another value."""
  items = value if isinstance(value, list) else []
  return [item for item in items if isinstance(item, dict)]


def _with_usual_names(tensor: dict[str, Json]) -> dict[str, Json]:
  """Returns a tensor that is described in the words of Triton's own config."""
  datatype = str(tensor.get("datatype") or tensor.get("data_type") or "")
  shape = tensor.get("shape") or [-1, *tensor.get("dims", ())]
  datatype = datatype.upper().removeprefix("TYPE_")
  return {**tensor, "datatype": datatype, "shape": shape if shape[1:] else None}


def layout(
  sizes: Sequence[int], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns the axes of `(N, H, W, C)` in the server's order, and their sizes.

  The sizes are without N; the server's may be -1, one flat axis, or without the
  channel of grey images.

  Raises:
    JaxkdError: if the images do not fit.
  """
  height, width, channels = shape
  for axes, layout in (
    ((0, 1, 2, 3), shape),
    ((0, 3, 1, 2), (channels, height, width)),
    ((0, 1, 2, 3), (math.prod(shape),)),
    *([((0, 1, 2, 3), (height, width))] if channels == 1 else []),
  ):
    if len(layout) == len(sizes) and all(
      size in (-1, expected)
      for size, expected in zip(sizes, layout, strict=True)
    ):
      return axes, layout
  raise JaxkdError(
    f"The model takes inputs of shape {list(sizes)}, but the images have shape "
    f"{list(shape)}; set dataset, image_size or teacher.input.shape."
  )


def choose_output(
  outputs: list[dict[str, Json]], response: ResponseSpec, name: str = ""
) -> dict[str, Json]:
  """Returns the output of this name or index, or the one that fits the access.

  Of several the one that is named after the access is taken; of no outputs an
  empty one, which stands for all that the server has.

  Raises:
    JaxkdError: if there is none.
  """
  if name:
    named = [output for output in outputs if output.get("name") == name]
    index = output_index(name, len(outputs))
    if not named and index is not None:
      named = [outputs[index]]
    if outputs and not named:
      names = ", ".join(str(output.get("name")) for output in outputs)
      raise JaxkdError(f"teacher.output={name!r}: the model has {names}.")
    return named[0] if named else {"name": name}
  fitting = [output for output in outputs if _fits(output, response)]
  if outputs and not fitting:
    available = ", ".join(
      f"{o.get('name')} {o.get('datatype')} {o.get('shape')}" for o in outputs
    )
    raise JaxkdError(
      f"No output fits teacher.access={response.access} and "
      f"{response.num_classes} classes; the model has {available}. "
      "teacher.output takes one of them all the same."
    )
  stem = response.access.rstrip("s")
  return min(
    fitting, key=lambda output: stem not in output.get("name", ""), default={}
  )


def _fits(output: dict[str, Json], response: ResponseSpec) -> bool:
  """Returns whether an output has labels or scores of all classes."""
  datatype, shape = output.get("datatype"), output.get("shape")
  if not datatype or not shape:
    return True  # the metadata say too little; the reply will show it
  sizes = [size for size in map(int, shape[1:]) if size != 1]
  labels = datatype in INTEGERS or (datatype == "BYTES" and response.names)
  labels = labels or (datatype == "BOOL" and response.num_classes == 2)
  if response.access == "label" and labels and not sizes:
    return True
  one_number = response.num_classes == 2 and not sizes
  return datatype in FLOATS and (
    sizes in ([response.num_classes], [-1]) or one_number
  )
