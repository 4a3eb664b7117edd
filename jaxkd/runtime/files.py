"""Atomic writes of files and folders, and conversion to JSON."""

from collections.abc import Iterator, Mapping
import contextlib
import errno
import json
import math
import os
from pathlib import Path
import sys
import tempfile

import jax
import numpy as np

from jaxkd.errors import JaxkdError, fail
from jaxkd.runtime import buckets, processes

_SYSTEM_ERRORS = (
  errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES,
  errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
_IN_THE_WAY = (
  errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG,
  errno.EBUSY, errno.ETXTBSY,
)  # fmt: skip
_AGAIN = (
  "Make room, give access, or move what is in its way; the same command goes "
  "on."
)
Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
  """Yields a temporary path, whose file replaces `path` when the block ends.

  The file is on disk before it takes its name, and then on the bucket if it
  belongs there. If the block fails, `path` stays
  as it was and the temporary file is removed. Missing parent folders are made.

  Raises:
    JaxkdError: if `path` cannot be written, or if the block raises one; its
      message then names `path` in place of the temporary path.
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
      except Exception as error:  # that of a library, for a full disk
        if reason := system_failure(error):
          message = f"Cannot write {path}: {reason}. {_AGAIN}"
          raise JaxkdError(message) from error
        raise
      _sync(partial)
      os.replace(partial, target)
    buckets.upload(target)
  except OSError as error:
    reason = error.strerror or error
    raise JaxkdError(f"Cannot write {path}: {reason}. {_AGAIN}") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
  """Yields an empty folder, which becomes `path` when the block ends.

  As with `atomic_write`, `path` is complete or does not exist.

  Raises:
    JaxkdError: if `path` exists and is not an empty folder, or if it cannot be
      written.
  """
  with atomic_write(path) as partial:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
      raise JaxkdError(
        f"{path} exists and is not an empty folder; choose another folder."
      )
    partial.mkdir()
    yield partial


def system_failure(error: BaseException | None) -> str | None:
  """Returns what is wrong with a disk, if an error or its cause says so.

  It may be full, read-only, broken or forbidden. Libraries such as Orbax wrap
  the operating system's error, or repeat its text alone.
  """
  return _find(error, _SYSTEM_ERRORS)


def in_the_way(error: BaseException | None) -> str | None:
  """Returns why a path can't be written, if something else stands there."""
  return _find(error, _IN_THE_WAY)


def _find(error: BaseException | None, numbers: tuple[int, ...]) -> str | None:
  while error is not None:
    for number in numbers:
      reason = os.strerror(number)
      if getattr(error, "errno", None) == number or reason in str(error):
        return reason
    error = error.__cause__ or error.__context__
  return None


@contextlib.contextmanager
def errors_end_command() -> Iterator[None]:
  """Ends a command with status 2 and a line, for what a user can mend.

  That is a `JaxkdError`, or a file or disk that can't be used. Other exceptions
  are mistakes of the package and keep their traceback. A reader of the output
  that has ended, such as `head`, ends the command with status 1.
  """
  try:
    yield
    sys.stdout.flush()
  except JaxkdError as error:
    fail(str(error))
  except BrokenPipeError:
    # Python writes what is left to standard output once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
  except OSError as error:
    reason = system_failure(error) or in_the_way(error)
    if reason is None:
      raise
    fail(f"{error.filename or 'A file'}: {reason}. {_AGAIN}")


def user_path(text: str) -> Path:
  """Returns a path that a user wrote, with `~` for the home folder.

  A shell leaves it as it is behind an equals sign.

  Raises:
    JaxkdError: if it is on a bucket, where only a workdir may be.
  """
  if buckets.is_url(text):
    raise JaxkdError(
      f"{text} is no path: only --workdir may be on a bucket. Copy the file to "
      "a disk."
    )
  return Path(text).expanduser()


def _sync(path: Path) -> None:
  """Waits until a file, or every file in a folder, is on disk."""
  paths = path.rglob("*") if path.is_dir() else (path,)
  for each in paths:
    if each.is_file():
      with each.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
  """Writes a file atomically."""
  with atomic_write(path) as partial:
    partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
  """Writes a UTF-8 text file atomically."""
  write_bytes(path, text.encode())


def write_json(path: Path, tree: object) -> None:
  """Writes a tree as a JSON file atomically, on the first process only.

  See `to_json` for what the tree may hold.
  """
  if processes.is_primary():
    text = json.dumps(to_json(tree), indent=2, allow_nan=False)
    write_text(path, f"{text}\n")


def to_json(tree: object) -> Json:
  """Converts arrays to lists, paths to strings, NaN and infinity to None.

  Raises:
    TypeError: if the tree holds a value that JSON cannot represent.

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
  raise TypeError(
    f"A value of type {type(tree).__name__} cannot be written as JSON: {tree!r}"
  )
