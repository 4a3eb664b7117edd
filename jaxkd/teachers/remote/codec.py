"""Encoding of requests and checked decoding of replies, for every protocol.

A reply that is not what was asked for is an error, and an answer that is not
valid is named; nothing is clipped or guessed.
"""

from collections.abc import Callable
import json
import re
from typing import NamedTuple

import numpy as np

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.answers import CheckedAnswers
from jaxkd.teachers.remote.probabilities import (
  log_probs,
  log_softmax,
  logits_of_sigmoids,
  sums_to_one,
)
from jaxkd.teachers.remote.transport import OutcomeUnknown

UNLIMITED = 1 << 30  # images in one request, where the protocol sets no limit
# A pixel has 256 values, so their texts are made once. A text of FP32 is the
# shortest that is parsed to the same float32.
TEXTS = {
  "UINT8": [str(value) for value in range(256)],
  "FP32": [str(value) for value in np.arange(256, dtype=np.float32) / 255],
}
TEXTS["FP64"] = TEXTS["FP32"]
_LENGTHS = {
  datatype: np.array([len(text) for text in texts])
  for datatype, texts in TEXTS.items()
}


def text_bytes(images: np.ndarray, datatype: str) -> int:
  """Counts the bytes of all pixels' texts, without separators."""
  return int(_LENGTHS[datatype][images].sum())


class Request(NamedTuple):
  """An HTTP request.

  Attributes:
    path: is appended to the teacher's url; empty for the url itself.
    headers: of the protocol, such as `Content-Type`.
    body: the images, encoded.
  """

  path: str
  headers: dict[str, str]
  body: bytes


class ResponseSpec(NamedTuple):
  """The answers that are expected; others are errors.

  Attributes:
    access: `label`, `top_k`, `probs` or `logits`.
    num_classes: K.
    names: the classes' names in order, if the server answers with names.
    kind: what scores are: `logits`, `probabilities` or `sigmoid`; empty is what
      the access says.
  """

  access: str
  num_classes: int
  names: tuple[str, ...] = ()
  kind: str = ""

  def convert(
    self,
    values: Json,
    count: int,
    read: Callable[[Json], Json] = lambda value: value,
  ) -> CheckedAnswers:
    """Converts `count` answers to int32 labels `[N]` or scores `[N, K]`.

    Scores are float32: logits as they are, probabilities as their logarithms.
    If the access is `label`, scores give the likeliest class. Of two classes
    one number is enough: the probability or the logit of class 1.

    Args:
      values: the answers, one for each image.
      count: the number of images.
      read: takes what is converted out of one answer.

    Raises:
      JaxkdError: if these are not `count` answers. An answer that is not valid
        is no error, but named in what is returned.
    """
    if count == 1 and self._is_one_answer(values):
      values = [values]  # as from servers that leave an axis of length 1 out
    if not isinstance(values, list):
      raise JaxkdError(
        "The reply holds no list of answers; check teacher.protocol and "
        f"teacher.output. It holds {str(values)[:200]}."
      )
    if len(values) != count:
      raise JaxkdError(
        f"The reply holds {len(values)} answers to {count} images; check "
        "teacher.output, or set queries.images_per_request=1."
      )
    label = self.access == "label"
    rows = np.zeros(
      count if label else (count, self.num_classes),
      np.int32 if label else np.float32,
    )
    wrong: dict[int, str] = {}
    renormalised = 0
    for index, value in enumerate(values):
      try:
        numbers = self._numbers(self._index(read(value)))
        rows[index] = self._label(numbers) if label else self._scores(numbers)
        probs = self._score_kind == "probabilities"
        renormalised += not label and probs and not sums_to_one(numbers)
      except JaxkdError as error:
        wrong[index] = str(error)
    return CheckedAnswers(rows, wrong, renormalised)

  def _is_one_answer(self, values: Json) -> bool:
    """Returns whether a reply to one image is an answer, and no list of it."""
    if isinstance(values, list):
      scores = len(values) == self.num_classes
      return scores and all(isinstance(v, (int, float)) for v in values)
    return isinstance(values, (int, float, str)) and values != ""

  def is_class(self, number: float) -> bool:
    """Returns whether a number is a class."""
    return 0 <= number < self.num_classes and not number % 1

  def check_class(self, number: float) -> int:
    """Returns a number that is a class.

    Raises:
      JaxkdError: if it is none.
    """
    if not self.is_class(number):
      raise JaxkdError(
        f"The reply holds the class {number:g}; the data set has classes 0 to "
        f"{self.num_classes - 1}."
      )
    return int(number)

  @property
  def _score_kind(self) -> str:
    return self.kind or (
      "logits" if self.access == "logits" else "probabilities"
    )

  def _label(self, numbers: np.ndarray) -> int:
    if numbers.size == 1:
      number = numbers.item()
      if self.num_classes == 2 and self.kind == "logits":
        return int(number > 0)
      if self.num_classes == 2 and 0 <= number <= 1:
        return int(number > 0.5)  # the probability of class 1, or a label
      if self.num_classes == 2 and number % 1:
        raise JaxkdError(
          f"The reply holds {number:g}, which is no class and no probability; "
          "if it is the logit of class 1, set teacher.output_kind=logits."
        )
      return self.check_class(number)
    self._check_size(numbers)
    return int(numbers.argmax())

  def _scores(self, numbers: np.ndarray) -> np.ndarray:
    """Returns logits, or log-probabilities if the access is that of these."""
    if numbers.size == 1 and self.num_classes != 2:
      raise JaxkdError(
        f"The reply holds labels, but teacher.access={self.access} needs "
        f"{self.num_classes} scores for each image; set teacher.access=label."
      )
    kind = self._score_kind
    if numbers.size == 1:
      first = 0.0 if kind == "logits" else 1 - numbers.item()
      numbers = np.array([first, numbers.item()])
      kind = "logits" if kind == "logits" else "probabilities"
    self._check_size(numbers)
    if kind == "probabilities":
      return log_probs(numbers)
    logits = logits_of_sigmoids(numbers) if kind == "sigmoid" else numbers
    return log_softmax(logits) if self.access == "probs" else logits

  def _check_size(self, numbers: np.ndarray) -> None:
    if numbers.size != self.num_classes:
      raise JaxkdError(
        f"The reply holds answers of shape {list(numbers.shape)}; the data set "
        f"has {self.num_classes} classes."
      )

  def class_of(self, text: str) -> int | None:
    """Returns the class that a name stands for, or an index such as LABEL_3."""
    if text in self.names:
      return self.names.index(text)
    index = re.fullmatch(r"\s*(?:LABEL_|class_?)?(\d+)\s*", text, re.IGNORECASE)
    return int(index[1]) if index and not self.names else None

  def _index(self, value: Json) -> Json:
    if isinstance(value, list) and len(value) == 1:
      value = value[0]
    if not isinstance(value, str):
      return value
    index = self.class_of(value)
    if index is None and not self.names:
      try:
        return float(value)
      except ValueError:
        raise JaxkdError(
          f"The reply holds {value!r}, which is no number; name the classes in "
          "order in teacher.template.labels."
        ) from None
    if index is None:
      checks.choice("class name", value, self.names)
    return index

  def _numbers(self, value: Json) -> np.ndarray:
    """Converts an answer to an array of finite numbers in float32's range.

    Axes of length 1 are left out, but for a number alone. Numbers may be texts,
    and of two classes labels may be true and false.
    """
    try:
      array = np.asarray(value)
      if array.dtype.kind == "U":
        array = array.astype(np.float64)
    except (ValueError, OverflowError):
      raise JaxkdError(
        "The reply holds answers of different lengths, or texts that are no "
        "numbers."
      ) from None
    if array.dtype.kind not in ("iufb" if self.num_classes == 2 else "iuf"):
      raise JaxkdError("The reply holds answers that are not numbers.")
    numbers = array.astype(np.float64).squeeze()
    if not (np.abs(numbers) <= np.finfo(np.float32).max).all():
      raise JaxkdError("The reply holds answers that are NaN or infinite.")
    return numbers


def parse(body: bytes) -> Json:
  """Parses a reply as JSON, which may be a text in JSON once more.

  Raises:
    OutcomeUnknown: if the reply is empty or incomplete.
    JaxkdError: if it is not JSON.
  """
  text = body.decode("utf-8-sig", errors="replace").strip()
  if not text:
    raise OutcomeUnknown("the reply is empty")
  try:
    value = json.loads(text)
    twice = isinstance(value, str) and value[:1] in ("{", "[")
    return json.loads(value) if twice else value
  except RecursionError:
    raise JaxkdError(
      "The reply is nested too deeply; check teacher.url."
    ) from None
  except ValueError as error:
    at_end = getattr(error, "pos", 0) >= len(text)
    if text[:1] in ("{", "[") and (at_end or text[-1] not in "}]"):
      raise OutcomeUnknown("the reply is incomplete") from None
    raise JaxkdError(
      f"The reply is not JSON; check teacher.url. It is: {text}"
    ) from None


def get_path(value: Json, path: str, field: str = "") -> Json:
  """Returns the value at a dotted path in parsed JSON.

  Args:
    value: the JSON.
    path: keys and indices.
    field: the config field that sets the path, for messages.

  >>> get_path({"predictions": [{"tagName": "cat"}]}, "predictions.0.tagName")
  'cat'

  Raises:
    JaxkdError: if there is no such value.
  """
  inner = value
  for step in filter(None, path.split(".")):
    try:
      inner = inner[int(step) if isinstance(inner, list) else step]
    except (KeyError, IndexError, TypeError, ValueError):
      where = f" ({field})" if field else ""
      raise JaxkdError(
        f"The reply has no {path}{where}: {step!r} is missing in "
        f"{str(value)[:200]}."
      ) from None
  return inner
