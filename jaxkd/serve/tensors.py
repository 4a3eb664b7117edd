"""Arrays out of the JSON of requests, and back; everything is checked."""

import json
import math
from typing import Any

import numpy as np

INPUT = "images"


class RequestError(Exception):  # noqa: N818 (an answer, not an error)
  """A request that is not answered.

  Attributes:
    status: of HTTP, 4xx.
    headers: of the reply.
  """

  def __init__(
    self, message: str, status: int = 400, headers: dict[str, str] | None = None
  ):
    super().__init__(message)
    self.status, self.headers = status, headers


def parse(body: bytes) -> dict[str, Any]:
  """The JSON object in a request's body.

  Raises:
    Refusal: if it holds none.
  """
  try:
    asked = json.loads(body)
  except (ValueError, RecursionError) as error:
    raise RequestError(f"The body is no JSON: {error}.") from error
  if not isinstance(asked, dict):
    raise RequestError("The body must be a JSON object.")
  return asked


def only(tensors: Any, field: str, name: str) -> dict[str, Any]:
  """The one tensor in a list of them.

  Args:
    tensors: as they came.
    field: of the request, for messages.
    name: that it must have.

  Raises:
    Refusal: if there are others, or none.
  """
  match tensors:
    case [{"name": str(found)} as tensor] if found == name:
      return tensor
  raise RequestError(f"{field} must hold one tensor, and its name is {name!r}.")


def images_v2(asked: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
  """The input tensor of a v2 request.

  Args:
    asked: the request: UINT8 in 0..255 or FP32 in [0, 1], flat or nested.
    shape: of one image, `(H, W, C)`.

  Returns:
    `[n, H, W, C]` uint8 or float32.

  Raises:
    Refusal: if it is anything else.
  """
  tensor = only(asked.get("inputs"), "inputs", INPUT)
  datatype = tensor.get("datatype")
  if datatype not in ("UINT8", "FP32"):
    raise RequestError("The datatype must be UINT8 or FP32.")
  match tensor.get("shape"):
    case [int(count), *rest] if count > 0 and rest == list(shape):
      nested = (int(count), *shape)
    case _:
      raise RequestError(f"The shape must be {['n', *shape]}, n at least 1.")
  numbers = _numbers(tensor.get("data"), "data")
  if numbers.shape not in (nested, (math.prod(nested),)):
    raise RequestError(
      f"data has shape {list(numbers.shape)}; the tensor's shape is "
      f"{list(nested)}, or flat {math.prod(nested)} numbers."
    )
  return _pixels(numbers.reshape(nested), eight_bit=datatype == "UINT8")


def images_v1(asked: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
  """The instances of a V1 request.

  If all numbers are JSON integers they are 8-bit pixels, otherwise floats in
  [0, 1].

  Args:
    asked: the request.
    shape: of one image, `(H, W, C)`.

  Returns:
    `[n, H, W, C]` uint8 or float32.

  Raises:
    Refusal: if it is anything else.
  """
  numbers = _numbers(asked.get("instances"), "instances")
  if numbers.shape[1:] != shape:
    raise RequestError(
      f"instances have shape {list(numbers.shape)}; expected "
      f"{['n', *shape]}, n at least 1."
    )
  return _pixels(numbers, eight_bit=numbers.dtype.kind != "f")


def _numbers(data: Any, field: str) -> np.ndarray:
  if not isinstance(data, list) or not data:
    raise RequestError(f"{field} must be a list that is not empty.")
  try:
    numbers = np.asarray(data)
  except (ValueError, OverflowError) as error:  # ragged, or 10**400 and 0.5
    raise RequestError(
      f"{field} must be numbers in lists of equal length."
    ) from error
  if numbers.dtype.kind not in "iuf":
    raise RequestError(f"{field} must hold numbers alone.")
  return numbers


def _pixels(numbers: np.ndarray, *, eight_bit: bool) -> np.ndarray:
  if eight_bit:
    if numbers.dtype.kind == "f" or numbers.min() < 0 or numbers.max() > 255:
      raise RequestError("8-bit pixels must be whole numbers from 0 to 255.")
    return numbers.astype(np.uint8)
  if not ((numbers >= 0) & (numbers <= 1)).all():  # NaN is not either
    raise RequestError("Float pixels must be from 0 to 1.")
  return numbers.astype(np.float32)


def ranked(scores: np.ndarray, count: int) -> np.ndarray:
  """Triton's classification extension: `score:class`, highest scores first.

  Args:
    scores: `[n, K]`; of equal ones the lower class comes first.
    count: of classes, at most K.

  Returns:
    `[n, count]` strings.

  >>> ranked(np.array([[0.1, 0.7, 0.2]]), 2).tolist()
  [['0.7:1', '0.2:2']]
  """
  order = np.argsort(-scores, axis=-1, kind="stable")[:, :count]
  strings = [
    [f"{row[label]:.9g}:{label}" for label in labels]
    for row, labels in zip(scores, order, strict=True)
  ]
  return np.array(strings, object)
