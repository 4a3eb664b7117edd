"""Encoding of requests and checked decoding of replies, for every protocol.

A reply that is not what was asked for is an error; nothing is clipped or
guessed.
"""

import json
from typing import NamedTuple

import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.remote.transport import OutcomeUnknown

FLOOR = 1e-12  # smallest probability whose logarithm is taken
# How far the sum of K probabilities may be from 1: servers round each of them,
# as a defence to two decimals, which adds at most ROUNDING for each class.
TOLERANCE, ROUNDING, MAX_TOLERANCE = 1e-3, 0.005, 0.1
UNLIMITED = 1 << 30  # images in one request, where the protocol sets no limit
# A pixel has 256 values, so their texts are made once. A text of FP32 is the
# shortest that is parsed to the same float32.
TEXTS = {
  "UINT8": [str(value) for value in range(256)],
  "FP32": [str(value) for value in np.arange(256, dtype=np.float32) / 255],
}
_LENGTHS = {
  datatype: np.array([len(text) for text in texts])
  for datatype, texts in TEXTS.items()
}


def text_bytes(images: np.ndarray, datatype: str) -> int:
  """Counts the bytes of all pixels' texts, without separators."""
  return int(_LENGTHS[datatype][images].sum())


class Request(NamedTuple):
  """An HTTP request; `path` is appended to the teacher's url."""

  path: str
  headers: dict[str, str]
  body: bytes


class ResponseSpec(NamedTuple):
  """The answers that are expected; others are errors.

  Attributes:
    access: `label`, `top_k`, `probs` or `logits`.
    num_classes: K.
    names: the classes' names in order, if the server answers with names.
  """

  access: str
  num_classes: int
  names: tuple[str, ...] = ()

  def convert(self, values: Json, count: int) -> np.ndarray:
    """Converts `count` answers to int32 labels `[N]` or scores `[N, K]`.

    Scores are float32: logits as they are, probabilities as their logarithms.
    If the access is `label`, scores give the likeliest class.

    Raises:
      JaxkdError: for a wrong count, type, class, name or sum, and for NaN.
    """
    if not isinstance(values, list):
      raise JaxkdError("The reply holds no list of answers.")
    if len(values) != count:
      raise JaxkdError(
        f"The reply holds {len(values)} answers to {count} images."
      )
    array = _numbers([self._index(value) for value in values])
    if array.ndim == 2 and array.shape[1] == 1:
      array = array[:, 0]
    if array.ndim == 1:
      return self.labels(array)
    if array.shape[1:] != (self.num_classes,):
      raise JaxkdError(
        f"The reply holds answers of shape {list(array.shape[1:])}; the data "
        f"set has {self.num_classes} classes."
      )
    if self.access == "label":
      return array.argmax(-1).astype(np.int32)
    return (
      array.astype(np.float32) if self.access == "logits" else log_probs(array)
    )

  def labels(self, array: np.ndarray) -> np.ndarray:
    """Converts finite numbers `[N]` to int32 labels.

    Raises:
      JaxkdError: if scores were expected, or a number is not a class.
    """
    if self.access != "label":
      raise JaxkdError(
        f"The reply holds labels, but teacher.access={self.access} needs "
        f"{self.num_classes} scores for each image; set teacher.access=label."
      )
    self.check_classes(array)
    return array.astype(np.int32)

  def check_classes(self, array: np.ndarray) -> None:
    """Checks that all numbers are classes."""
    wrong = (array < 0) | (array >= self.num_classes) | (array % 1 != 0)
    if wrong.any():
      raise JaxkdError(
        f"The reply holds the class {array[wrong][0]}; the data set has "
        f"classes 0 to {self.num_classes - 1}."
      )

  def _index(self, value: Json) -> Json:
    if not isinstance(value, str):
      return value
    if not self.names:
      raise JaxkdError(
        f"The reply holds {value!r}, which is no number; name the classes in "
        "order in teacher.template.labels."
      )
    checks.choice("class name", value, self.names)
    return self.names.index(value)


def log_probs(probs: np.ndarray) -> np.ndarray:
  """Computes float32 logarithms of probabilities `[N, K]`.

  Sums that differ from 1 by rounding are normalised.

  Raises:
    JaxkdError: if a number is negative, or a sum differs by more.
  """
  sums = probs.sum(-1, keepdims=True)
  gap = np.abs(sums - 1)
  allowed = max(TOLERANCE, min(ROUNDING * probs.shape[-1], MAX_TOLERANCE))
  if (probs < 0).any() or (gap > allowed).any():
    raise JaxkdError(
      f"The reply holds scores that are not probabilities: they go from "
      f"{probs.min():g} to {probs.max():g}, and a sum differs from 1 by "
      f"{gap.max():g}; set teacher.access=logits or label."
    )
  return np.log(np.maximum(probs / sums, FLOOR)).astype(np.float32)


def parse(body: bytes) -> Json:
  """Parses a reply as JSON.

  Raises:
    OutcomeUnknown: if the reply is incomplete.
    JaxkdError: if it is not JSON.
  """
  text = body.decode(errors="replace").strip()
  try:
    return json.loads(text)
  except RecursionError:
    raise JaxkdError("The reply is nested too deeply.") from None
  except ValueError as error:
    at_end = getattr(error, "pos", 0) >= len(text)
    if text[:1] in ("{", "[") and (at_end or text[-1] not in "}]"):
      raise OutcomeUnknown("the reply is incomplete") from None
    raise JaxkdError(f"The reply is not JSON: {text}") from None


def get_path(value: Json, path: str) -> Json:
  """Returns the value at a dotted path in parsed JSON.

  >>> get_path({"predictions": [{"tagName": "cat"}]}, "predictions.0.tagName")
  'cat'

  Raises:
    JaxkdError: if there is no such value.
  """
  for step in filter(None, path.split(".")):
    try:
      value = value[int(step) if isinstance(value, list) else step]
    except (KeyError, IndexError, TypeError, ValueError):
      raise JaxkdError(
        f"The reply has no {path}: {step!r} is missing."
      ) from None
  return value


def _numbers(values: list[Json]) -> np.ndarray:
  """Converts answers to an array of finite numbers in float32's range."""
  try:
    array = np.asarray(values)
  except (ValueError, OverflowError):
    raise JaxkdError("The reply holds answers of different lengths.") from None
  if array.dtype.kind not in "iuf":
    raise JaxkdError("The reply holds answers that are not numbers.")
  limit = np.finfo(np.float32).max
  if not (np.abs(array.astype(np.float64)) <= limit).all():
    raise JaxkdError("The reply holds answers that are NaN or infinite.")
  return array
