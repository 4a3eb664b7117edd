"""What several processes have to have in common, and what they can't do."""

import hashlib
import json

import numpy as np

from jaxkd.data import Dataset
from jaxkd.runtime import processes
from jaxkd.runtime.files import to_json
from jaxkd.types import JaxkdError


def check(config, dataset: Dataset) -> None:
  """Refuses runs that can't be shared; nothing to do for one process.

  Raises:
    JaxkdError: on all processes, if the teacher is behind an interface, or if
      they differ in their config or data.
  """
  if not processes.is_multiprocess():
    return
  for field in ("url", "replay"):
    if config.teacher[field]:
      raise JaxkdError(
        f"teacher.{field}={config.teacher[field]}: only one process may ask "
        "such a teacher and pay for it; start a single one, without "
        "--distributed."
      )
  processes.check_same("config or data", fingerprint(config, dataset))


def fingerprint(config, dataset: Dataset) -> str:
  """Names a config and the images and labels behind it."""
  found = hashlib.sha256(json.dumps(to_json(config.to_dict())).encode())
  for array in dataset[1:]:
    found.update(np.ascontiguousarray(array))
  return found.hexdigest()
