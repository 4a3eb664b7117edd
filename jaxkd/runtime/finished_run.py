"""Reads the config, the report and the samples of a finished run."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from jaxkd.runtime import buckets
from jaxkd.runtime.run_folder import CONFIG_NAME, FORMAT
from jaxkd.types import JaxkdError, Samples

REPORT_NAME = "report.json"
# Fields that all readers of a report or of a config need.
REPORT_FIELDS = ("config", "student.seeds", "devices", "date", "commit")
CONFIG_FIELDS = ("method", "seed", "synthesis", "teacher.checkpoint")
_AGAIN = (
  "Delete that file, and run the command of the run again to write it anew."
)


def read_json(path: Path) -> dict[str, Any]:
  """Reads the JSON object in a file of a run's folder.

  Raises:
    JaxkdError: if the file is missing or damaged.
  """
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise JaxkdError(
      f"{path} does not exist; give the --workdir of a finished run."
    ) from error
  except PermissionError as error:
    raise JaxkdError(
      f"{path} cannot be read: {error.strerror}. Give access to it."
    ) from error
  except (OSError, ValueError, RecursionError) as error:
    reason = getattr(error, "strerror", None) or error
    raise JaxkdError(f"{path} cannot be read: {reason}. {_AGAIN}") from error
  if not isinstance(content, dict):
    raise JaxkdError(f"{path} holds no JSON object. {_AGAIN}")
  return content


def require_fields(
  path: Path, content: dict[str, Any], names: Sequence[str]
) -> None:
  """Checks that the JSON of a file has these fields, by their dotted names.

  Raises:
    JaxkdError: if it hasn't, as that of another program or version.
  """
  missing = []
  for name in names:
    value: object = content
    for key in name.split("."):
      value = value.get(key, missing) if isinstance(value, dict) else missing
    if value is missing:
      missing.append(name)
  if missing:
    raise JaxkdError(
      f"{path} has no {', '.join(missing)}, so another program or version of "
      f"jaxkd wrote it. {_AGAIN}"
    )


def read_config(workdir: Path) -> dict[str, Any]:
  """Reads the resolved config of a run.

  Raises:
    JaxkdError: if there is none, or another version of jaxkd wrote it.
  """
  path = workdir / CONFIG_NAME
  record = read_json(path)
  if record.get("format") != FORMAT:
    raise JaxkdError(
      f"{path} has the layout of another version of jaxkd (format "
      f"{record.get('format', 1)}, this is {FORMAT}); export the run with that "
      "version, or run it again."
    )
  if not isinstance(record.get("resolved"), dict):
    raise JaxkdError(f"{path} holds no resolved config. {_AGAIN}")
  require_fields(path, record["resolved"], CONFIG_FIELDS)
  return record["resolved"]


def read_report(
  workdir: Path, names: Sequence[str] = REPORT_FIELDS
) -> dict[str, Any]:
  """Reads the report of a run, which has the fields of these dotted names.

  Raises:
    JaxkdError: if it is missing or damaged, or lacks one of them.
  """
  path = workdir / REPORT_NAME
  report = read_json(path)
  require_fields(path, report, names)
  return report


def read_samples(workdir: Path) -> Samples:
  """Reads the samples in a run's newest checkpoint, as NumPy arrays.

  Nothing else of the checkpoint is read, and no network is built.

  Raises:
    JaxkdError: if there is no checkpoint, or if it is damaged or has no sample.
  """
  folder = (workdir / "checkpoints" / "synthesis").absolute()
  buckets.fetch_steps(folder)
  steps = [path for path in folder.glob("*/") if path.name.isdigit()]
  if not steps:
    raise JaxkdError(
      f"There is no checkpoint in {folder}; give the --workdir of a run that "
      "has finished its synthesis."
    )
  newest = max(steps, key=lambda path: int(path.name)) / "default"
  try:
    store = _store(newest)
  except Exception as error:  # Orbax and tensorstore raise many kinds
    raise JaxkdError(
      f"The checkpoint {newest} cannot be read ({type(error).__name__}); run "
      "the command of the run again to write it again."
    ) from error
  samples = store["samples"]
  count = min(int(store["inserted"]), len(samples["labels"]))
  if not count:
    raise JaxkdError(
      f"The run in {workdir} has stored no image; run its command again, which "
      "continues it."
    )
  return Samples(
    *(samples[field][:count] for field in ("images", "labels", "targets"))
  )


def _store(checkpoint: Path) -> dict[str, Any]:
  """Reads the sample store of a checkpoint, on any devices, as NumPy arrays."""
  as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
  fields = dict.fromkeys(("images", "labels", "targets"), as_numpy)
  tree = {"store": {"inserted": as_numpy, "samples": fields}}
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    restored = reader.restore(
      checkpoint,
      args=ocp.args.PyTreeRestore(
        item=tree, restore_args=tree, partial_restore=True
      ),
    )
  return restored["store"]
