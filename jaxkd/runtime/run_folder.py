"""The folder of a run: its name, its config, and nobody else in it."""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

from jaxkd.runtime import processes
from jaxkd.runtime.files import to_json, write_json
from jaxkd.types import JaxkdError

# May differ from the saved config when a run goes on.
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
def lock_workdir(workdir: str | Path | None, config) -> Iterator[Path]:
  """The folder, made or gone on in, while no other run may have it.

  Of several processes the first claims it; all have to see it.

  Raises:
    JaxkdError: if it can't be written, is in use, or belongs to a run with
      another config (the fields are named).
  """
  if workdir is not None and not str(workdir).strip():
    raise JaxkdError("--workdir is empty; give a folder, or leave it out.")
  folder = (Path(workdir) if workdir else default(config)).absolute()
  with contextlib.ExitStack() as claims:
    with processes.raise_on_all():
      if processes.is_primary():
        claims.enter_context(_locked(folder))
        _check_config(folder, to_json(config.to_dict()))
    with processes.raise_on_all():
      if not (folder / CONFIG_NAME).exists():
        raise JaxkdError(
          f"The workdir {folder} is not the same folder on all hosts; choose a "
          "--workdir on a disk that they share."
        )
    yield folder


def _locked(folder: Path) -> IO[str]:
  try:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
  except OSError as error:
    raise JaxkdError(
      f"The workdir {folder} can't be written ({error.strerror}); choose "
      "another --workdir."
    ) from error
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    lock.close()
    raise JaxkdError(
      f"The workdir {folder} is in use by another run."
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
  """Whether a run may go on although this field of its config differs.

  A budget may be raised; what follows from it, the rounds, may not change.
  """
  if field == "queries.budget":
    return wanted[field] >= saved[field]
  return field in CHANGEABLE


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Nested dicts as one, with dotted names.

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
