"""A teacher that answers from the ledger of an earlier run."""

import os
from pathlib import Path

import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.teachers import records
from jaxkd.teachers.answers import collect, digest, require_eight_bit


class Replay:
  """Answers images from a ledger, and sends no query.

  Args:
    path: the ledger; it is only read.
    access: the access that it was recorded with.

  Raises:
    JaxkdError: if the file is not a ledger, is damaged, can't be read or has
      no answer.
  """

  in_process = False
  eight_bit = True

  def __init__(self, path: str | os.PathLike[str], access: str):
    self.access = access
    self._path = path
    try:
      state = records.read_ledger(Path(path))[0]
      self._answers, self._wrong = state.answers, state.wrong
      self.reason = state.unanswered.reason
    except OSError as error:
      raise JaxkdError(
        f"teacher.replay={path} can't be read ({error.strerror}); name the "
        "ledger.jsonl of an earlier run."
      ) from error
    if not self._answers and not self._wrong:
      raise JaxkdError(
        f"teacher.replay={path} holds no answer; name the ledger.jsonl of a "
        "served teacher's run."
      )

  def answer(self, images: np.ndarray, kind: str = "train") -> np.ndarray:
    """Returns the recorded labels `[N]` or scores `[N, K]`.

    An image whose answer was not valid has the label -1 or NaN.

    Args:
      images: uint8 `[N, H, W, C]`.
      kind: the kind of query; it is ignored, because nothing is recorded.

    Raises:
      BudgetExhausted: if the ledger has no answer to some of the images.
    """
    del kind
    digests = [digest(image) for image in require_eight_bit(images)]
    known = self._answers.keys() | self._wrong
    missing = [name for name in digests if name not in known]
    if missing:
      raise BudgetExhausted(
        f"The ledger {self._path} has no answer to {len(missing)} of "
        f"{len(digests)} images, the first of them {', '.join(missing[:4])}; "
        "use the config and seed that it was recorded with."
      )
    return collect(self._answers.get, digests, self.access)
