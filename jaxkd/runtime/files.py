"""Writes files and folders that appear whole or not at all, and JSON."""

from collections.abc import Iterator, Mapping
import contextlib
import json
import math
import os
from pathlib import Path
import tempfile
from typing import Any

import jax
import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.runtime import processes


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
  """Yields a path beside `path` to write a file at. When the block is done, the
  file is on disk and replaces `path`; if the block fails, nothing is left.

  The folder of `path` is made. A `JaxkdError` of the block names `path`.

  Raises:
    JaxkdError: if `path` cannot be written.
  """
  target = path.absolute()
  try:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      dir=target.parent, prefix=f".{target.name}.", ignore_cleanup_errors=True
    ) as folder:
      partial = Path(folder) / target.name
      try:
        yield partial
      except JaxkdError as error:
        message = str(error).replace(str(partial), str(path))
        raise JaxkdError(message) from error
      _sync(partial)
      os.replace(partial, target)
  except OSError as error:
    reason = error.strerror or error
    raise JaxkdError(f"Cannot write {path}: {reason}.") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
  """Yields an empty folder to fill, which becomes `path` when the block is
  done, as `atomic_write` does it.

  Raises:
    JaxkdError: if `path` is there and not an empty folder, or cannot be
      written.
  """
  with atomic_write(path) as partial:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
      raise JaxkdError(f"{path} is there and not empty; name another folder.")
    partial.mkdir()
    yield partial


def _sync(path: Path) -> None:
  """Waits until a file, or every file in a folder, is on disk."""
  files = path.rglob("*") if path.is_dir() else (path,)
  for each in files:
    if each.is_file():
      with each.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
  """Writes a file, whole or not at all."""
  with atomic_write(path) as partial:
    partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
  """Writes a file of UTF-8, whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: Path, tree: Any) -> None:
  """Writes a tree as JSON, whole or not at all; NaN becomes null. Of several
  processes only the first writes.
  """
  if processes.is_primary():
    text = json.dumps(to_json(tree), indent=2, allow_nan=False)
    write_text(path, f"{text}\n")


def to_json(tree: Any) -> Any:
  """A tree as JSON can hold it: arrays as lists, NaN and infinity as None.

  >>> import numpy as np
  >>> to_json({"loss": np.float32(0.5), "shape": (1, 2), "kl": float("nan")})
  {'loss': 0.5, 'shape': [1, 2], 'kl': None}
  """
  if isinstance(tree, Mapping):
    return {str(key): to_json(value) for key, value in tree.items()}
  if isinstance(tree, (list, tuple)):
    return [to_json(value) for value in tree]
  if isinstance(tree, float):
    return float(tree) if math.isfinite(tree) else None
  if tree is None or isinstance(tree, (bool, int, str)):
    return tree
  if isinstance(tree, Path):
    return str(tree)
  if isinstance(tree, (np.ndarray, np.generic, jax.Array)):
    return to_json(np.asarray(tree).tolist())
  raise TypeError(f"{type(tree).__name__} has no form in JSON: {tree!r}")
