"""Folders that appear when they are complete."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import tempfile

from jaxkd.errors import JaxkdError


@contextlib.contextmanager
def appearing(out: Path) -> Iterator[Path]:
  """A path to make a folder at; it takes the name `out` when all went well, and
  is gone otherwise.

  Raises:
    JaxkdError: if `out` holds something, or can't be written.
  """
  if out.exists() and not (out.is_dir() and not any(out.iterdir())):
    raise JaxkdError(f"--out={out} is there and not empty; name another.")
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      dir=out.parent, prefix=f".{out.name}."
    ) as beside:
      folder = Path(beside) / out.name
      try:
        yield folder
      except JaxkdError as error:
        message = str(error).replace(str(folder), str(out))
        raise JaxkdError(message) from error
      os.replace(folder, out)
  except OSError as error:
    raise JaxkdError(f"Cannot write {out}: {error.strerror}.") from error
