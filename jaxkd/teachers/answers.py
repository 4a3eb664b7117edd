"""Images and answers between a run and a ledger."""

from collections.abc import Callable

import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.teachers.records import Answer


def eight_bit(images: np.ndarray) -> np.ndarray:
  """`images`, if they are uint8 `[N, H, W, C]`; else a JaxkdError."""
  images = np.asarray(images)
  if images.dtype != np.uint8 or images.ndim != 4:
    raise JaxkdError(
      f"A remote teacher is shown uint8 images [N, H, W, C], not "
      f"{images.dtype} of shape {list(images.shape)}; round to 8 bits first."
    )
  return images


def gather(
  find: Callable[[str], Answer | None], digests: list[str], access: str
) -> np.ndarray:
  """int32 labels `[N]` or float32 scores `[N, K]`, found by digest.

  Raises:
    JaxkdError: if they are of another access.
  """
  answers, labels = [find(name) for name in digests], access == "label"
  if any(isinstance(answer, int) != labels for answer in answers):
    raise JaxkdError(
      f"The ledger's answers are not of teacher.access={access}; set the "
      "access that it was recorded with, or start a new run."
    )
  return np.asarray(answers, np.int32 if labels else np.float32)
