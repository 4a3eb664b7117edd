"""What the folder of a run says about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from jaxkd.runtime.run_folder import CONFIG_NAME
from jaxkd.types import JaxkdError, Samples

REPORT_NAME = "report.json"


def read_json(path: Path) -> dict[str, Any]:
  """The object in a file of a run.

  Raises:
    JaxkdError: if it is not there, or damaged.
  """
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise JaxkdError(
      f"There is no {path}; give the --workdir of a run that is done."
    ) from error
  except (OSError, ValueError) as error:
    raise JaxkdError(f"{path} can't be read: {error}.") from error


def read_config(workdir: Path) -> dict[str, Any]:
  """The run's config, resolved."""
  return read_json(workdir / CONFIG_NAME)


def read_report(workdir: Path) -> dict[str, Any]:
  """The run's report."""
  return read_json(workdir / REPORT_NAME)


def read_samples(workdir: Path) -> Samples:
  """The samples in the run's last checkpoint, as numpy arrays; nothing else of
  it is read, and the run is not rebuilt.

  Raises:
    JaxkdError: if there is no checkpoint, it is damaged, or holds no sample.
  """
  folder = (workdir / "checkpoints" / "synthesis").absolute()
  steps = [path for path in folder.glob("*/") if path.name.isdigit()]
  if not steps:
    raise JaxkdError(
      f"There is no checkpoint in {folder}; give the --workdir of a run that "
      "has made its images."
    )
  newest = max(steps, key=lambda path: int(path.name)) / "default"
  try:
    store = _store(newest)
  except Exception as error:  # Orbax and tensorstore raise many kinds
    raise JaxkdError(
      f"The checkpoint {newest} can't be read ({type(error).__name__}); run "
      "the same command again to make it anew."
    ) from error
  samples = store["samples"]
  count = min(int(store["inserted"]), len(samples["labels"]))
  if not count:
    raise JaxkdError(f"The run in {workdir} has not kept any image.")
  return Samples(
    *(samples[field][:count] for field in ("images", "labels", "targets"))
  )


def _store(checkpoint: Path) -> dict[str, Any]:
  """`play.store` of a checkpoint; arrays lie on the host, whatever devices the
  run had.
  """
  as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
  fields = dict.fromkeys(("images", "labels", "targets"), as_numpy)
  wanted = {"play": {"store": {"inserted": as_numpy, "samples": fields}}}
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    found = reader.restore(
      checkpoint,
      args=ocp.args.PyTreeRestore(
        item=wanted, restore_args=wanted, partial_restore=True
      ),
    )
  return found["play"]["store"]
