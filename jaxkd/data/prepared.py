"""Finds data sets that TFDS or this package has prepared, by their names."""

from collections.abc import Iterable
import json
import os
from pathlib import Path
import re

from jaxkd.config import checks
from jaxkd.types import JaxkdError

INFO = "dataset_info.json"
FORMAT = "array_record"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"\w+(/[\w.+-]+)?")


def data_root(data_dir: str | os.PathLike | None = None) -> Path:
  """Returns `data_dir`, or `$TFDS_DATA_DIR`, or TFDS' default folder."""
  folder = data_dir or os.environ.get("TFDS_DATA_DIR")
  return Path(folder or "~/tensorflow_datasets").expanduser()


def prepared_dir(name: str, data_dir: str | os.PathLike | None) -> Path | None:
  """Returns the folder of a prepared set, or None.

  Only file names are compared, because TFDS writes into another folder and
  renames it when it is complete.

  Args:
    name: as TFDS has it: `stl10`, or `imagenette/160px-v2` with the name of a
      config. A version may follow, as in `stl10:1.0.0`; without it the newest
      is taken.
    data_dir: TFDS folder; None is `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
  """
  name, version = _parts(name)
  if not _NAME.fullmatch(name):
    return None
  folders = versions(data_root(data_dir) / name)
  if version:
    folders = [folder for folder in folders if folder.name == version]
  return folders[-1] if folders else None


def prepared_folder(path: Path) -> Path | None:
  """Returns the folder of a prepared set that a path names, or None.

  The path is that of one version, or of a folder of versions, of which the
  newest is taken.
  """
  if (path / INFO).is_file():
    return path
  return max(versions(path), key=_number, default=None)


def versions(folder: Path) -> list[Path]:
  """Returns the folders of all complete versions in a folder, oldest first."""
  if not folder.is_dir():
    return []
  found = (path.parent for path in folder.glob(f"*/{INFO}"))
  return sorted((p for p in found if _VERSION.fullmatch(p.name)), key=_number)


def split_sizes(folder: Path) -> dict[str, int]:
  """Returns the number of examples of each split of a prepared set.

  Raises:
    JaxkdError: if the file that says so is damaged.
  """
  try:
    splits = json.loads((folder / INFO).read_text())["splits"]
    return {
      split["name"]: sum(map(int, split["shardLengths"])) for split in splits
    }
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise JaxkdError(
      f"{folder / INFO} is damaged; delete {folder}, and prepare it again."
    ) from error


def names(data_dir: str | os.PathLike | None) -> list[str]:
  """Returns the names of all prepared sets, without their versions."""
  root = data_root(data_dir)
  parents = {
    folder.parent
    for depth in ("*", "*/*")
    for path in root.glob(f"{depth}/*/{INFO}")
    if _VERSION.fullmatch((folder := path.parent).name)
  }
  return sorted(parent.relative_to(root).as_posix() for parent in parents)


def not_prepared(name: str, known: Iterable[str]) -> JaxkdError:
  """Returns the error for a name that is neither a path nor a prepared set.

  Args:
    name: that was asked for.
    known: names of data sets of this package.
  """
  root, (stem, version) = data_root(), _parts(name)
  others = [
    other
    for other in names(None)
    if other == stem or other.split("/")[0] == stem.split("/")[0]
  ]
  if version and stem in others:
    have = ", ".join(folder.name for folder in versions(root / stem))
    return JaxkdError(
      f"dataset={name}: {stem} is prepared in {root} in version {have}, not "
      f"{version}."
    )
  if others:
    return JaxkdError(
      f"dataset={name} is not prepared in {root}, which has "
      f"{', '.join(others)}; choose one of them."
    )
  problem = f"{name}: there is no such file or folder."
  if "/" not in name:
    problem = checks.unknown("dataset", name, known)
  return JaxkdError(
    f"{problem} Sets of TFDS are read from {root}, where it prepares them, if "
    f"TensorFlow is installed, by:\n{tfds_command(name)}"
  )


def tfds_command(name: str) -> str:
  """Returns the command with which TFDS prepares a set in the format read here.

  It is Python, because the command line of TFDS needs Apache Beam as well.
  """
  return (
    'python -c "import tensorflow_datasets as tfds; tfds.builder('
    f"'{name}').download_and_prepare(file_format='{FORMAT}')\""
  )


def _parts(name: str) -> tuple[str, str]:
  """Returns the name without its version, and the version or nothing."""
  stem, separator, last = name.replace(":", "/").rpartition("/")
  if separator and _VERSION.fullmatch(last):
    return stem, last
  return name, ""


def _number(folder: Path) -> tuple[int, ...]:
  return tuple(int(n) for n in folder.name.split("."))
