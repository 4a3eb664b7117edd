"""The folder of a run: its name, its config, and nobody else in it."""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from jaxkd.metrics import to_json, write_json
from jaxkd.resolution import CHANGEABLE
from jaxkd.types import JaxkdError

CONFIG_NAME = "config.json"


def cache(kind: str) -> Path:
  """A folder that outlives runs and may be deleted at any time:
  `$JAXKD_CACHE/KIND`, or `~/.cache/jaxkd/KIND`.
  """
  root = os.environ.get("JAXKD_CACHE") or "~/.cache/jaxkd"
  return Path(root).expanduser() / kind


def default(config) -> Path:
  """`runs/METHOD-DATASET-HASH`: another config is another folder."""
  text = json.dumps(to_json(config.to_dict()), sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:8]
  return Path("runs") / f"{config.method}-{config.dataset}-{digest}"


@contextlib.contextmanager
def claimed(workdir: str | Path | None, config) -> Iterator[Path]:
  """The folder, made or gone on in, while no other process may have it.

  Raises:
    JaxkdError: if it can't be written, is in use, or belongs to a run with
      another config (the fields are named).
  """
  if workdir is not None and not str(workdir).strip():
    raise JaxkdError("--workdir is empty; give a folder, or leave it out.")
  folder = (Path(workdir) if workdir else default(config)).absolute()
  try:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
  except OSError as error:
    raise JaxkdError(
      f"The workdir {folder} can't be written ({error.strerror}); choose "
      "another --workdir."
    ) from error
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise JaxkdError(
        f"The workdir {folder} is in use by another run."
      ) from error
    _check_config(folder, to_json(config.to_dict()))
    yield folder


def _check_config(folder: Path, config: dict[str, Any]) -> None:
  path = folder / CONFIG_NAME
  if path.exists():
    saved, wanted = flat(json.loads(path.read_text())), flat(config)
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
  """Whether a run may go on although this field of its config differs.

  A budget may be raised; what follows from it, the rounds, may not change.
  """
  if field == "queries.budget":
    return wanted[field] >= saved[field]
  return field in CHANGEABLE


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Nested dicts as one, with dotted names.

  >>> flat({"teacher": {"epochs": 3}, "seed": 0})
  {'teacher.epochs': 3, 'seed': 0}
  """
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {
    name: value
    for key, branch in tree.items()
    for name, value in flat(
      branch, f"{prefix}.{key}" if prefix else key
    ).items()
  }
