"""What requests and replies are made of, in every protocol.

Whatever a server says is checked before anyone learns from it; nothing is
clipped or guessed.
"""

import json
from typing import Any, NamedTuple

import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote.transport import OutcomeUnknown

FLOOR = 1e-12  # of a probability, before its logarithm
# Of the sum of K probabilities: each may be rounded to two decimals, which is a
# defence that is met in practice.
TOLERANCE, ROUNDING, SLACK = 1e-3, 0.005, 0.1
UNLIMITED = 1 << 30
# A pixel has 256 values, so their texts are made once. FP32: the shortest that
# gives the same float32 back.
TEXTS = {
  "UINT8": [str(value) for value in range(256)],
  "FP32": [str(value) for value in np.arange(256, dtype=np.float32) / 255],
}
_LENGTHS = {
  datatype: np.array([len(text) for text in texts])
  for datatype, texts in TEXTS.items()
}


def text_bytes(images: np.ndarray, datatype: str) -> int:
  """Bytes of all pixels' texts, without what stands between them."""
  return int(_LENGTHS[datatype][images].sum())


class Request(NamedTuple):
  """One request; `path` goes behind the teacher's url."""

  path: str
  headers: dict[str, str]
  body: bytes


class ResponseSpec(NamedTuple):
  """What answers must be; anything else is an error.

  Attributes:
    access: `label`, `top_k`, `probs` or `logits`.
    num_classes: K.
    names: of the classes in order, if the server answers with names.
  """

  access: str
  num_classes: int
  names: tuple[str, ...] = ()

  def read(self, values: Any, count: int) -> np.ndarray:
    """int32 labels `[N]` or float32 scores `[N, K]` from `count` answers.

    Scores become log-probabilities, labels or stay, as `access` says.

    Raises:
      JaxkdError: for a wrong count, type, class, name or sum, and for NaN.
    """
    if not isinstance(values, list) or len(values) != count:
      found = len(values) if isinstance(values, list) else "no list of"
      raise JaxkdError(f"{found} answers to {count} images.")
    array = _numbers([self._index(value) for value in values])
    if array.ndim == 2 and array.shape[1] == 1:
      array = array[:, 0]
    if array.ndim == 1:
      return self.labels(array)
    if array.shape[1:] != (self.num_classes,):
      raise JaxkdError(
        f"answers of shape {list(array.shape[1:])}; the data set has "
        f"{self.num_classes} classes."
      )
    if self.access == "label":
      return array.argmax(-1).astype(np.int32)
    return (
      array.astype(np.float32) if self.access == "logits" else log_probs(array)
    )

  def labels(self, array: np.ndarray) -> np.ndarray:
    """int32 labels `[N]` from finite numbers."""
    if self.access != "label":
      raise JaxkdError(
        f"labels, but teacher.access={self.access} needs {self.num_classes} "
        "scores an image; set teacher.access=label."
      )
    self.check_classes(array)
    return array.astype(np.int32)

  def check_classes(self, array: np.ndarray) -> None:
    """All numbers are classes."""
    wrong = (array < 0) | (array >= self.num_classes) | (array % 1 != 0)
    if wrong.any():
      raise JaxkdError(
        f"the class {array[wrong][0]}; the data set has 0 to "
        f"{self.num_classes - 1}."
      )

  def _index(self, value: Any) -> Any:
    if not isinstance(value, str):
      return value
    if not self.names:
      raise JaxkdError(
        f"{value!r} is no number; name the classes in order in "
        "teacher.template.labels."
      )
    checks.choice("class name", value, self.names)
    return self.names.index(value)


def log_probs(probs: np.ndarray) -> np.ndarray:
  """float32 logarithms of probabilities `[N, K]`, which may be rounded.

  Raises:
    JaxkdError: if they are none.
  """
  sums = probs.sum(-1, keepdims=True)
  gap = np.abs(sums - 1)
  allowed = max(TOLERANCE, min(ROUNDING * probs.shape[-1], SLACK))
  if (probs < 0).any() or (gap > allowed).any():
    raise JaxkdError(
      f"scores that are no probabilities: they go from {probs.min():g} to "
      f"{probs.max():g}, and a sum is off by {gap.max():g}; set teacher.access="
      "logits or label."
    )
  return np.log(np.maximum(probs / sums, FLOOR)).astype(np.float32)


def parse(body: bytes) -> Any:
  """JSON.

  Raises:
    Lost: if it breaks off.
    JaxkdError: if it is something else.
  """
  text = body.decode(errors="replace").strip()
  try:
    return json.loads(text)
  except RecursionError:
    raise JaxkdError("a reply that is nested too deeply.") from None
  except ValueError as error:
    at_end = getattr(error, "pos", 0) >= len(text)
    if text[:1] in ("{", "[") and (at_end or text[-1] not in "}]"):
      raise OutcomeUnknown("the reply breaks off") from None
    raise JaxkdError(f"a reply that is not JSON: {text}") from None


def get_path(value: Any, path: str) -> Any:
  """What a dotted path leads to.

  >>> get_path({"predictions": [{"tagName": "cat"}]}, "predictions.0.tagName")
  'cat'

  Raises:
    JaxkdError: if it leads nowhere.
  """
  for step in filter(None, path.split(".")):
    try:
      value = value[int(step) if isinstance(value, list) else step]
    except (KeyError, IndexError, TypeError, ValueError):
      raise JaxkdError(f"a reply without {path} (at {step!r}).") from None
  return value


def _numbers(values: list[Any]) -> np.ndarray:
  """Finite numbers that a float32 holds."""
  try:
    array = np.asarray(values)
  except (ValueError, OverflowError):
    raise JaxkdError("answers of different lengths.") from None
  if array.dtype.kind not in "iuf":
    raise JaxkdError("answers that are not numbers.")
  limit = np.finfo(np.float32).max
  if not (np.abs(array.astype(np.float64)) <= limit).all():
    raise JaxkdError("answers that are NaN or infinite.")
  return array
