"""What several processes of one run must have in common."""

import hashlib
import json

from ml_collections import ConfigDict
import numpy as np

from jaxkd.config.teacher_fields import INTERFACES
from jaxkd.data import Dataset
from jaxkd.runtime import processes
from jaxkd.runtime.files import to_json
from jaxkd.types import JaxkdError


def check(config: ConfigDict, dataset: Dataset) -> None:
  """Refuses a run that several processes can't share; one process may do all.

  Raises:
    JaxkdError: on all processes, if the teacher is behind an interface, or if
      the processes differ in their config or data.
  """
  if not processes.is_multiprocess():
    return
  for field in INTERFACES:
    if config.teacher[field]:
      raise JaxkdError(
        f"teacher.{field}={config.teacher[field]}: only one process may "
        "ask such a teacher and pay for it; start a single one, without "
        "--distributed."
      )
  processes.check_same("config or data", fingerprint(config, dataset))


def fingerprint(config: ConfigDict, dataset: Dataset) -> str:
  """SHA-256 of a resolved config and of the images and labels."""
  text = json.dumps(to_json(config.to_dict()))
  digest = hashlib.sha256(text.encode())
  for array in dataset[1:]:
    digest.update(np.ascontiguousarray(array))
  return digest.hexdigest()
