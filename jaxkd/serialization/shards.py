"""Weights that are spread over several safetensors files.

Libraries split large networks into files `NAME-00001-of-00003.safetensors`, and
say in `NAME.safetensors.index.json` which of them holds which tensor.
"""

from pathlib import Path
import re
from typing import NamedTuple

import numpy as np

from jaxkd.serialization.safetensors_io import (
  SHORT_FLOATS,
  read_header,
  read_json,
  read_tensors,
)
from jaxkd.types import JaxkdError

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 64 * 2**20
_SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.\w+)")
# Dtypes that float32 does not hold exactly, or that are not float32 already.
_WORDS = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}


class StateDict(NamedTuple):
  """The tensors of a network, from one file or several.

  Attributes:
    tensors: by name.
    notes: what was done to read them, for people.
  """

  tensors: dict[str, np.ndarray]
  notes: tuple[str, ...] = ()


def find_files(path: Path) -> tuple[Path, ...]:
  """Returns the files of tensors that belong together.

  Args:
    path: of a safetensors file, of one of several, of their index, or of a
      folder that holds one of these.

  Raises:
    JaxkdError: if one of several is missing, if the index is damaged or does
      not name the tensors of its files, or if the folder holds no weights.
  """
  if path.is_dir():
    path = _in_folder(path)
  if path.name.endswith(INDEX_SUFFIX):
    return _of_index(path)
  match = _SHARD.fullmatch(path.name)
  if not (match and path.is_file()):
    return (path,)
  stem, number, count, suffix = match.groups()
  names = [
    f"{stem}-{index:0{len(number)}}-of-{count}{suffix}"
    for index in range(1, int(count) + 1)
  ]
  files = _existing(path, names)
  index = path.with_name(f"{stem}{suffix}{INDEX_SUFFIX}")
  return _of_index(index) if index.is_file() else files


def read(files: tuple[Path, ...]) -> StateDict:
  """Reads the tensors of all files.

  Of tensors that share memory, safetensors keeps one and notes the others'
  names; they are in what is returned. Values may be infinite or NaN.

  Raises:
    JaxkdError: if a file is damaged, or if two hold tensors of one name.
  """
  tensors: dict[str, np.ndarray] = {}
  texts: dict[str, str] = {}
  dtypes: set[str] = set()
  for path in files:
    header = read_header(path)
    if twice := tensors.keys() & header.shapes:
      raise JaxkdError(
        f"{path} holds {min(twice)}, as a file before it does; keep the files "
        "of one network."
      )
    tensors |= read_tensors(path, finite=False)
    texts |= header.texts
    dtypes |= set(header.dtypes.values())
  notes = []
  if len(files) > 1:
    notes.append(f"read from {len(files)} files")
  tied = {
    name: tensors[kept]
    for name, kept in texts.items()
    if kept in tensors and name not in tensors
  }
  if tied:
    notes.append(f"{', '.join(sorted(tied)[:3])} tied to others")
  short = sorted(dtypes & {"F16", *SHORT_FLOATS})
  if short:
    notes.append(f"{', '.join(map(_word, short))} converted exactly to float32")
  if "F64" in dtypes:
    notes.append("float64 rounded to float32")
  return StateDict(tensors | tied, tuple(notes))


def _word(dtype: str) -> str:
  return _WORDS.get(dtype, dtype)


def _in_folder(folder: Path) -> Path:
  """Returns the index or the only file of weights in a folder."""
  visible = sorted(
    file for file in folder.iterdir() if not file.name.startswith(".")
  )
  for suffix in (f".safetensors{INDEX_SUFFIX}", ".safetensors"):
    files = [file for file in visible if file.name.lower().endswith(suffix)]
    if len(files) == 1 or (files and _SHARD.fullmatch(files[0].name)):
      return files[0]
    if files:
      raise JaxkdError(
        f"{folder} has {len(files)} files of weights ({files[0].name}, "
        f"{files[1].name}, ...); name one of them."
      )
  # Their reader tells how they are converted.
  pickles = [file for file in visible if file.suffix in PICKLES]
  if pickles:
    return pickles[0]
  raise JaxkdError(f"{folder} is a folder without .safetensors files.")


def _of_index(path: Path) -> tuple[Path, ...]:
  """Returns the files that an index names."""
  try:
    if path.stat().st_size > MAX_INDEX_BYTES:
      raise ValueError(f"it has more than {MAX_INDEX_BYTES} bytes")
    promised = dict(read_json(path.read_bytes())["weight_map"])
    names = sorted({str(file) for file in promised.values()})
  except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
    raise JaxkdError(
      f"{path} is no index of safetensors files ({error}); it needs a "
      "weight_map."
    ) from error
  if not names:
    raise JaxkdError(f"{path} names no file; its weight_map is empty.")
  files = _existing(path, names)
  if not any(file.suffix in PICKLES for file in files):
    _check_index(path, promised, files)
  return files


def _check_index(
  index: Path, promised: dict[str, str], files: tuple[Path, ...]
) -> None:
  """Refuses files that do not hold exactly the tensors of their index."""
  headers = {file.name: read_header(file) for file in files}
  held = {
    name: file for file, header in headers.items() for name in header.shapes
  }
  # Of tied tensors a file holds one, and names the others.
  tied = {name for header in headers.values() for name in header.texts}
  for name, file in promised.items():
    if name not in held and name not in tied:
      raise JaxkdError(
        f"{index} says that {file} holds {name}, and no file does; copy "
        f"{file} again, or have all files written again."
      )
  for name, file in held.items():
    if name not in promised:
      raise JaxkdError(
        f"{file} holds {name}, which {index} does not name; put the files and "
        "the index of one network into a folder of their own."
      )


def _existing(path: Path, names: list[str]) -> tuple[Path, ...]:
  for name in names:
    if Path(name).name != name or name == "..":
      raise JaxkdError(f"{path} names {name!r}, which is in another folder.")
    if not (path.parent / name).is_file():
      raise JaxkdError(
        f"{path} belongs to {len(names)} files, and {name} is not beside it; "
        "put all of them into one folder."
      )
  return tuple(path.parent / name for name in names)
