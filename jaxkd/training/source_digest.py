"""Digests of the source files on which a trained network depends."""

from collections.abc import Callable, Iterable
import functools
import hashlib
import inspect
from pathlib import Path

from jaxkd.config import user_code

# Files, and folders with all of their files, that decide a network's weights.
SOURCES = (
  "data/augmentation.py",
  "data/pixels.py",
  "losses",
  "models",
  "runtime/keys.py",
  "training",
)
PACKAGE = Path(__file__).parents[1]


@functools.cache
def package_digest() -> str:
  """Returns a digest of the files in `SOURCES`."""
  sha256 = hashlib.sha256()
  for source in SOURCES:
    path = PACKAGE / source
    for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
      sha256.update(f"{file.relative_to(PACKAGE)}\n".encode())
      sha256.update(hashlib.sha256(file.read_bytes()).digest())
  return sha256.hexdigest()


def code_digests(
  objective: Callable[..., object], names: Iterable[str]
) -> list[str]:
  """Returns digests of the files that define an objective and a user's modules.

  Args:
    objective: the objective of a training.
    names: imported modules, or functions written `module:function`.
  """
  files = [Path(inspect.getfile(inspect.unwrap(objective)))]
  for name in names:
    files += user_code.source_files(name)
  return [_file_digest(file) for file in files]


def _file_digest(file: Path) -> str:
  if not file.is_file():  # code of a notebook: its name changes with the code
    return str(file)
  return hashlib.sha256(file.read_bytes()).hexdigest()
