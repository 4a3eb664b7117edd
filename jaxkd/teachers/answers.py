"""Images and answers as a query ledger keeps them.

An image is known by the hash of its content; its answer is one label or K
scores.
"""

from array import array
from collections.abc import Callable, Iterable
import hashlib
import operator
from typing import NamedTuple, SupportsIndex

import numpy as np

from jaxkd.errors import JaxkdError

Answer = int | array  # a label, or K scores as float32


class CheckedAnswers(NamedTuple):
  """The answers of one reply, each checked.

  Attributes:
    values: int32 labels `[N]` or float32 scores `[N, K]`.
    wrong: why an answer is not valid, by the index of its image; its value
      means nothing.
    renormalised: the number of answers that are probabilities and did not sum
      to 1, because the server rounds them.
  """

  values: np.ndarray
  wrong: dict[int, str] = {}
  renormalised: int = 0

  def to_list(self) -> list[int | list[float] | None]:
    """Returns the answers as a ledger has them; None for those not valid."""
    return [
      None if index in self.wrong else value
      for index, value in enumerate(self.values.tolist())
    ]


def digest(image: np.ndarray) -> str:
  """Hashes one image's shape, dtype and bytes to 32 hexadecimal digits."""
  hashed = hashlib.blake2b(digest_size=16)
  hashed.update(f"{image.shape} {image.dtype.str} ".encode())
  hashed.update(image.tobytes())
  return hashed.hexdigest()


def to_json(answer: SupportsIndex | Iterable[float]) -> int | list[float]:
  """Converts a label or scores to a form that JSON holds exactly.

  A double holds every float32, and Python writes doubles without loss.
  """
  try:
    return operator.index(answer)
  except TypeError:
    return [float(score) for score in answer]


def compact(answer: int | list[float]) -> Answer:
  """Packs scores into a float32 array; a label stays an int."""
  # Millions of answers are held, and a Python float takes 32 bytes.
  return answer if isinstance(answer, int) else array("f", answer)


def require_eight_bit(images: np.ndarray) -> np.ndarray:
  """Returns `images` if they are uint8 `[N, H, W, C]`.

  Raises:
    JaxkdError: if they have another type or rank.
  """
  images = np.asarray(images)
  if images.dtype != np.uint8 or images.ndim != 4:
    raise JaxkdError(
      f"A remote teacher is shown uint8 images [N, H, W, C], not "
      f"{images.dtype} of shape {list(images.shape)}; round to 8 bits first."
    )
  return images


def are_valid(answers: np.ndarray) -> np.ndarray:
  """Returns which of the answers that `collect` gave are valid, bool `[N]`."""
  if answers.ndim == 1:
    return answers >= 0
  return np.isfinite(answers).all(-1)


def collect(
  lookup: Callable[[str], Answer | None], digests: list[str], access: str
) -> np.ndarray:
  """Looks up the answers of `digests` as labels `[N]` or scores `[N, K]`.

  Returns:
    int32 where the access is `label`, else float32. An image whose answer was
    not valid has the label -1 or NaN.

  Raises:
    JaxkdError: if the answers were recorded with another access.
  """
  answers, labels = [lookup(name) for name in digests], access == "label"
  valid = [answer for answer in answers if answer is not None]
  if any(isinstance(answer, int) != labels for answer in valid):
    raise JaxkdError(
      f"The ledger's answers were not recorded with teacher.access={access}; "
      "set the access that they were recorded with, or start a new run."
    )
  missing: int | list[float] = -1
  if not labels:
    missing = [np.nan] * max(map(len, valid), default=1)
  return np.asarray(
    [missing if answer is None else answer for answer in answers],
    np.int32 if labels else np.float32,
  )
