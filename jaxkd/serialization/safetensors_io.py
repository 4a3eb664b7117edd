"""Reads safetensors files that are not trusted.

Nothing in such a file is executed, and its header is checked before any tensor
is read, so that no tensor can be larger than the file.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from jaxkd.runtime.files import Json
from jaxkd.types import JaxkdError

MAX_HEADER_BYTES = 16 * 2**20
FLOATS = ("F16", "F32", "F64")
# Floats that NumPy does not have; float32 holds all of their values.
SHORT_FLOATS = {
  "BF16": jnp.bfloat16,
  "F8_E4M3": jnp.float8_e4m3fn,
  "F8_E5M2": jnp.float8_e5m2,
}


class Header(NamedTuple):
  """The header of a safetensors file.

  Attributes:
    shapes: shapes of the tensors by name.
    dtypes: dtypes of the tensors by name, as F32, I64, ...
    texts: metadata by name.
  """

  shapes: dict[str, tuple[int, ...]]
  dtypes: dict[str, str]
  texts: dict[str, str]


def read_header(path: Path) -> Header:
  """Reads the header of a file and checks it against the size of the file.

  Raises:
    JaxkdError: if there is no such file, if the header is longer than the file
      or than 16 MiB, if a name occurs twice, or if offsets or shapes of the
      tensors do not fit the bytes of the file.
  """
  if not path.is_file():
    what = "a folder" if path.is_dir() else "no file"
    raise JaxkdError(f"{path} is {what}; give a .safetensors file.")
  try:
    _read_entries(path)
    with safe_open(path, framework="np") as file:
      slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
      return Header(
        {name: tuple(each.get_shape()) for name, each in slices.items()},
        {name: each.get_dtype() for name, each in slices.items()},
        file.metadata() or {},
      )
  except PermissionError as error:
    raise JaxkdError(
      f"{path} cannot be read: {error.strerror}. Give access to it."
    ) from error
  except (SafetensorError, OSError, ValueError, RecursionError) as error:
    raise JaxkdError(
      f"{path} is damaged or no safetensors file: {error}. Put back a copy, or "
      "have it written again by the command that made it."
    ) from error


def read_tensors(path: Path, *, finite: bool = True) -> dict[str, np.ndarray]:
  """Reads all tensors of a file; floats that NumPy lacks become float32.

  Args:
    path: path of the file.
    finite: whether floats that are not finite are refused.

  Raises:
    JaxkdError: if `read_header` refuses the file, or if floats are not finite
      or have a dtype that is not known.
  """
  header = read_header(path)
  short = [name for name, d in header.dtypes.items() if d in SHORT_FLOATS]
  unsupported = [
    name
    for name, dtype in header.dtypes.items()
    if dtype.startswith(("BF", "F")) and dtype not in (*FLOATS, *SHORT_FLOATS)
  ]
  if unsupported:
    name = unsupported[0]
    raise JaxkdError(
      f"{path}: {name} is {header.dtypes[name]}; store floats as float32 "
      "(`tensor.float()` in PyTorch)."
    )
  try:
    with safe_open(path, framework="np") as file:
      tensors = {
        name: file.get_tensor(name)
        for name in header.shapes
        if name not in short
      }
    if short:
      tensors |= _read_short(path, short, header)
  except (SafetensorError, OSError, ValueError) as error:
    raise JaxkdError(f"{path} cannot be read: {error}.") from error
  for name, tensor in tensors.items():
    is_float = tensor.dtype.kind in "fc"
    if finite and is_float and not np.isfinite(tensor).all():
      raise JaxkdError(f"{path}: {name} has values that are not finite.")
  return {name: tensors[name] for name in header.shapes}


def _read_short(
  path: Path, names: list[str], header: Header
) -> dict[str, np.ndarray]:
  """Reads tensors of `SHORT_FLOATS` as float32, from a header that is sound."""
  start, entries = _read_entries(path)
  tensors = {}
  for name in names:
    shape, dtype = header.shapes[name], SHORT_FLOATS[header.dtypes[name]]
    begin = start + entries[name]["data_offsets"][0]
    raw = np.fromfile(path, np.dtype(dtype), math.prod(shape), offset=begin)
    tensors[name] = raw.astype(np.float32).reshape(shape)
  return tensors


def read_json(text: str | bytes) -> Json:
  """Parses strict JSON: repeated keys, NaN and infinities are refused.

  Raises:
    ValueError: if it is no such JSON.

  >>> read_json('{"a": [1, 2.5]}')
  {'a': [1, 2.5]}
  """

  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
      names = [name for name, _ in pairs]
      twice = next(name for name in names if names.count(name) > 1)
      raise ValueError(f"the key {twice!r} occurs twice")
    return dict(pairs)

  def constant(name: str) -> None:
    raise ValueError(f"{name} is no number")

  return json.loads(text, object_pairs_hook=unique, parse_constant=constant)


def _read_entries(path: Path) -> tuple[int, dict[str, Any]]:
  """Returns where the tensors begin, and what the header says of each.

  A name that occurs twice is refused: the library keeps the last of two
  tensors, and other readers may keep the first.
  """
  with open(path, "rb") as file:
    start = file.read(8)
    if start == b"version ":
      raise ValueError("it is a pointer of Git LFS; `git lfs pull` gets it")
    length = int.from_bytes(start, "little")
    if length > min(path.stat().st_size - 8, MAX_HEADER_BYTES):
      raise ValueError(f"its header claims {length} bytes")
    return 8 + length, read_json(file.read(length))
