"""The folder of a run: its default name, its config and its lock."""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

from ml_collections import ConfigDict

from jaxkd.runtime import processes
from jaxkd.runtime.files import to_json, write_json
from jaxkd.types import JaxkdError

# Fields that may differ from the saved config when a run is resumed.
CHANGEABLE = (
  "tensorboard",
  "profile.steps",
  "teacher.authorization",
  "teacher.token_env",
  "teacher.template.header",
  "queries.max_in_flight",
  "queries.images_per_request",
  "queries.bytes_per_request",
  "queries.deadline_s",
)
CONFIG_NAME = "config.json"


def cache_dir(kind: str) -> Path:
  """Returns the cache folder `$JAXKD_CACHE/KIND`, or `~/.cache/jaxkd/KIND`.

  It is shared by all runs and may be deleted at any time.
  """
  root = os.environ.get("JAXKD_CACHE") or "~/.cache/jaxkd"
  return Path(root).expanduser() / kind


def default(config: ConfigDict) -> Path:
  """Returns `runs/METHOD-DATASET-HASH`, with a hash of the config."""
  text = json.dumps(to_json(config.to_dict()), sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:8]
  return Path("runs") / f"{config.method}-{config.dataset}-{digest}"


@contextlib.contextmanager
def lock_workdir(
  workdir: str | Path | None, config: ConfigDict
) -> Iterator[Path]:
  """Yields the folder of a run, locked against other runs.

  It is made if missing; otherwise the run in it is resumed. Of several
  processes the first takes the lock, and all have to see the same folder.

  Args:
    workdir: of the run; None is `default(config)`.
    config: of the run, compared with the saved one and saved.

  Raises:
    JaxkdError: if the folder cannot be written, is in use, or holds a run with
      another config; the message then names the fields.
  """
  if workdir is not None and not str(workdir).strip():
    raise JaxkdError("--workdir is empty; give a folder, or leave it out.")
  folder = (Path(workdir) if workdir else default(config)).absolute()
  with contextlib.ExitStack() as lock:
    with processes.raise_on_all():
      if processes.is_primary():
        lock.enter_context(_lock(folder))
        _check_config(folder, to_json(config.to_dict()))
    with processes.raise_on_all():
      if not (folder / CONFIG_NAME).exists():
        raise JaxkdError(
          f"The workdir {folder} is not the same folder on all hosts; choose a "
          "--workdir on a disk that all hosts share."
        )
    yield folder


def _lock(folder: Path) -> IO[str]:
  try:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
  except OSError as error:
    raise JaxkdError(
      f"The workdir {folder} cannot be written ({error.strerror}); choose "
      "another --workdir."
    ) from error
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    lock.close()
    raise JaxkdError(
      f"The workdir {folder} is in use by another run; choose another one."
    ) from error
  return lock


def _check_config(folder: Path, config: dict[str, Any]) -> None:
  path = folder / CONFIG_NAME
  if path.exists():
    saved, wanted = flatten(json.loads(path.read_text())), flatten(config)
    differing = [
      f"{field} ({saved.get(field)!r}, now {wanted.get(field)!r})"
      for field in sorted(saved.keys() | wanted.keys())
      if saved.get(field) != wanted.get(field)
      and not changeable(field, saved, wanted)
    ]
    if differing:
      raise JaxkdError(
        f"{folder} holds a run with another config: {', '.join(differing)}. "
        "Undo the change, or choose another --workdir."
      )
  write_json(path, config)


def changeable(
  field: str, saved: dict[str, Any], wanted: dict[str, Any]
) -> bool:
  """Returns whether a run may be resumed with another value of this field.

  A budget may be raised, but the number of rounds may not change with it.

  Args:
    field: dotted name.
    saved: the flattened config in the folder of the run.
    wanted: the flattened config to resume it with.
  """
  if field == "queries.budget":
    return wanted[field] >= saved[field]
  return field in CHANGEABLE


def flatten(tree: object, prefix: str = "") -> dict[str, Any]:
  """Flattens nested dicts into one with dotted names.

  >>> flatten({"teacher": {"epochs": 3}, "seed": 0})
  {'teacher.epochs': 3, 'seed': 0}
  """
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {
    name: value
    for key, branch in tree.items()
    for name, value in flatten(
      branch, f"{prefix}.{key}" if prefix else key
    ).items()
  }
