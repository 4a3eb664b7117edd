"""A teacher that answers again what a ledger has recorded."""

import os
from pathlib import Path

import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.teachers import records
from jaxkd.teachers.answers import eight_bit, gather
from jaxkd.teachers.records import digest


class Replay:
  """Answers from the ledger of an earlier run, and sends nothing.

  Args:
    path: of the ledger; it is only read.
    access: that it was recorded with.

  Raises:
    JaxkdError: if it is no ledger, is damaged or can't be read.
  """

  in_process = False
  eight_bit = True

  def __init__(self, path: str | os.PathLike[str], access: str):
    self.access = access
    self._path = path
    try:
      self._answers = records.read_ledger(Path(path))[0].answers
    except OSError as error:
      raise JaxkdError(
        f"teacher.replay={path}: it can't be read ({error.strerror})."
      ) from error

  def close(self) -> None:
    """Nothing is open."""

  def answer(self, images: np.ndarray, kind: str = "train") -> np.ndarray:
    """As `Remote.answer`; a JaxkdError names what was never answered."""
    del kind
    digests = [digest(image) for image in eight_bit(images)]
    missing = [name for name in digests if name not in self._answers]
    if missing:
      raise BudgetExhausted(
        f"The ledger {self._path} has no answer to {len(missing)} of "
        f"{len(digests)} images, the first: {', '.join(missing[:4])}; replay "
        "the config and seed that it was recorded with."
      )
    return gather(self._answers.get, digests, self.access)
