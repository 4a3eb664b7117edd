"""The folder of a run: its default name, its config and its lock."""

from collections.abc import Iterator
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxkd.runtime import bucket_leases, buckets, leases, processes
from jaxkd.runtime.files import to_json, write_json
from jaxkd.types import JaxkdError

# Fields that may differ from the saved config when a run is resumed.
CHANGEABLE = (
  "tensorboard",
  "profile.steps",
  "teacher.authorization",
  "teacher.token_env",
  "teacher.template.header",
  "teacher.headers",
  "queries.max_in_flight",
  "queries.images_per_request",
  "queries.bytes_per_request",
  "queries.deadline_s",
  "queries.max_unanswered",
  "queries.ask_again",
  "queries.idempotency_key",
)
CONFIG_NAME = "config.json"
LEDGER_NAME = "ledger.jsonl"
LOCK_NAME = ".lock"
FORMAT = 2  # of a workdir: its checkpoints and its config.json


def cache_dir(kind: str) -> Path:
  """Returns the cache folder `$JAXKD_CACHE/KIND`, or `~/.cache/jaxkd/KIND`.

  It is shared by all runs and may be deleted at any time.
  """
  root = os.environ.get("JAXKD_CACHE") or "~/.cache/jaxkd"
  return Path(root).expanduser() / kind


def default(name: str, record: dict[str, Any]) -> Path:
  """Returns `runs/NAME-HASH`, with a hash of the record."""
  text = json.dumps(to_json(record), sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:8]
  return Path("runs") / f"{name}-{digest}"


@contextlib.contextmanager
def lock_workdir(
  workdir: str | Path | None,
  record: dict[str, Any],
  *,
  name: str,
  resolved: ConfigDict | None = None,
  shared: bool = False,
) -> Iterator[Path]:
  """Yields the folder of a run, locked against other runs.

  It is made if missing; otherwise the run in it is resumed. Of the processes of
  a distributed run the first takes the lock, and all have to see the same
  folder.

  Args:
    workdir: folder of the run, or its address on a bucket, of which the local
      copy is yielded; None is `default(name, record)`.
    record: `config` as the user wrote it, and other values that must not
      change.
    name: name for the default folder.
    resolved: the config with automatic values, saved beside the record.
    shared: whether other processes with the same record may be in the folder.

  Raises:
    InUse: if another process has the lock.
    JaxkdError: if the folder cannot be written, has the layout of another
      version, or holds a run with another config; the message then names the
      fields.
  """
  if workdir is not None and not str(workdir).strip():
    raise JaxkdError("--workdir is empty; give a folder, or leave it out.")
  with contextlib.ExitStack() as lock:
    folder = lock.enter_context(
      buckets.opened(workdir or default(name, record))
    )
    folder = folder.absolute()
    with processes.raise_on_all():
      if processes.is_primary():
        lock.enter_context(_lock(folder, shared))
        _check_record(folder, record)
        write_json(
          folder / CONFIG_NAME,
          {
            "format": FORMAT,
            **record,
            "resolved": resolved and resolved.to_dict(),
          },
        )
    with processes.raise_on_all():
      buckets.fetch(folder)
      if not (folder / CONFIG_NAME).exists():
        raise JaxkdError(
          f"The workdir {folder} is not the same folder on all hosts; choose a "
          "--workdir on a disk that all hosts share."
        )
    yield folder


def is_free(folder: Path) -> bool:
  """Returns whether no process has the lock of a run's folder."""
  if copy := buckets.find(folder):
    return bucket_leases.is_free(copy, folder)
  return leases.is_free(folder / LOCK_NAME)


def _lock(
  folder: Path, shared: bool
) -> contextlib.AbstractContextManager[object]:
  if copy := buckets.find(folder):
    return bucket_leases.held(copy, folder, shared=shared)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    path.touch()
  except OSError as error:
    raise JaxkdError(
      f"The workdir {folder} cannot be written ({error.filename}: "
      f"{error.strerror}); give access, or choose another --workdir."
    ) from error
  try:
    return leases.take(path, shared=shared)
  except leases.InUse as error:
    raise leases.InUse(
      f"The workdir {folder} is in use by another run; choose another one."
    ) from error
  except OSError as error:
    raise JaxkdError(
      f"The workdir {folder} can't be locked ({error.strerror}): choose a "
      "--workdir on a disk with locks, which some network file systems lack."
    ) from error


def _check_record(folder: Path, record: dict[str, Any]) -> None:
  path = folder / CONFIG_NAME
  if not path.exists():
    return
  try:
    text = path.read_text(encoding="utf-8")
  except PermissionError as error:
    raise JaxkdError(
      f"{path} cannot be read: {error.strerror}. Give access to it, or choose "
      "another --workdir."
    ) from error
  except (OSError, ValueError) as error:
    raise _no_config(path, error) from error
  try:
    saved = json.loads(text)
    version = saved.get("format")
    before = _fields(saved) if version == FORMAT else {}
  except (ValueError, AttributeError, KeyError, TypeError) as error:
    raise _no_config(path, error) from error
  if version != FORMAT:
    raise JaxkdError(
      f"{folder} has the layout of another version of jaxkd (format "
      f"{version or 1}, this is {FORMAT}); resume it with that version, or "
      "choose another --workdir."
    )
  now = _fields(to_json(record))
  differing = [
    f"{field} ({before.get(field)!r}, now {now.get(field)!r})"
    for field in sorted(before.keys() | now.keys())
    if before.get(field) != now.get(field)
    and not changeable(field, before, now)
  ]
  if differing and not _is_untouched(folder):
    raise JaxkdError(
      f"{folder} holds a run with another config: {', '.join(differing)}. "
      "Undo the change, or choose another --workdir."
    )


def _is_untouched(folder: Path) -> bool:
  """Returns whether a run ended before it did or asked anything.

  Then a corrected command may take the folder, as after a wrong url.
  """
  for path in folder.iterdir():
    if path.name == LEDGER_NAME:
      if b'"record": "reserved"' in (content := path.read_bytes()):
        return False
      if b'"record": "booked"' in content:
        return False
    elif path.name not in (CONFIG_NAME, LOCK_NAME) and (
      path.is_dir() or path.stat().st_size
    ):
      return False
  return True


def _no_config(path: Path, error: Exception) -> JaxkdError:
  return JaxkdError(
    f"{path} is no config of a run ({type(error).__name__}). If the run in it "
    "had the config of this command, delete it: the same command goes on. "
    "Otherwise choose another --workdir."
  )


def _fields(record: dict[str, Any]) -> dict[str, Any]:
  """Returns the compared values by the dotted names of config fields."""
  return flatten(record["config"]) | flatten(record.get("plan", {}), "plan")


def changeable(field: str, saved: dict[str, Any], now: dict[str, Any]) -> bool:
  """Returns whether a run may be resumed with another value of this field.

  A budget may be raised, but the number of rounds may not change with it.

  Args:
    field: dotted name.
    saved: the flattened config in the folder of the run.
    now: the flattened config to resume it with.
  """
  if field == "queries.budget":
    return now[field] >= saved[field]
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
