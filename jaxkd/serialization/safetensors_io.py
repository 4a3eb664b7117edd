"""Safetensors files from anywhere: looked through before they are read.

Nothing in such a file is executed, and no tensor can be larger than the file
that claims it.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxkd.types import JaxkdError

MOST_HEADER_BYTES = 16 * 2**20
FLOATS = ("F16", "F32", "F64")


class Header(NamedTuple):
  """What a file says that it holds.

  Attributes:
    shapes: shapes of the tensors, by name.
    dtypes: dtypes of the tensors, in the format's words: F32, I64, ...
    texts: free texts, by name.
  """

  shapes: dict[str, tuple[int, ...]]
  dtypes: dict[str, str]
  texts: dict[str, str]


def read_header(path: Path) -> Header:
  """The header, after its sizes and offsets were compared with the file's.

  Raises:
    JaxkdError: if there is no such file, or it is damaged: a header longer than
      the file or than 16 MiB, a name twice, tensors that overlap, leave gaps or
      end elsewhere than the file, shapes that do not fit their bytes.
  """
  if not path.is_file():
    what = "a folder" if path.is_dir() else "no file"
    raise JaxkdError(f"{path} is {what}; give a .safetensors file.")
  try:
    _check_names(path)
    with safe_open(path, framework="np") as file:
      slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
      return Header(
        {name: tuple(each.get_shape()) for name, each in slices.items()},
        {name: each.get_dtype() for name, each in slices.items()},
        file.metadata() or {},
      )
  except (SafetensorError, OSError, ValueError, RecursionError) as error:
    raise JaxkdError(
      f"{path} is damaged or no safetensors file: {error}."
    ) from error


def read_tensors(path: Path) -> dict[str, np.ndarray]:
  """All tensors, as they are stored; see `read_header` for errors.

  Raises:
    JaxkdError: also if a floating tensor has values that are not finite, or has
      a type that NumPy lacks.
  """
  header = read_header(path)
  exotic = [
    name
    for name, dtype in header.dtypes.items()
    if dtype.startswith(("BF", "F")) and dtype not in FLOATS
  ]
  if exotic:
    raise JaxkdError(
      f"{path}: {exotic[0]} is {header.dtypes[exotic[0]]}; store floats as "
      "float32 (`tensor.float()` in PyTorch)."
    )
  try:
    with safe_open(path, framework="np") as file:
      tensors = {name: file.get_tensor(name) for name in header.shapes}
  except (SafetensorError, OSError, ValueError) as error:
    raise JaxkdError(f"{path} can't be read: {error}.") from error
  for name, tensor in tensors.items():
    if tensor.dtype.kind in "fc" and not np.isfinite(tensor).all():
      raise JaxkdError(f"{path}: {name} has values that are not finite.")
  return tensors


def read_json(text: str | bytes) -> Any:
  """JSON without its traps: a key twice, NaN and infinities are refused.

  Raises:
    ValueError: if it is no such JSON.

  >>> read_json('{"a": [1, 2.5]}')
  {'a': [1, 2.5]}
  """

  def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
      names = [name for name, _ in pairs]
      twice = next(name for name in names if names.count(name) > 1)
      raise ValueError(f"{twice!r} is there twice")
    return dict(pairs)

  def constant(name: str) -> None:
    raise ValueError(f"{name} is no number")

  return json.loads(text, object_pairs_hook=once, parse_constant=constant)


def _check_names(path: Path) -> None:
  """The library keeps the last of two tensors of one name; a file with two says
  one thing to us and another to the next reader.
  """
  with open(path, "rb") as file:
    length = int.from_bytes(file.read(8), "little")
    if length > min(path.stat().st_size - 8, MOST_HEADER_BYTES):
      raise ValueError(f"its header claims {length} bytes")
    read_json(file.read(length))
