"""Conversion between the JSON of requests and arrays, with all checks."""

import json
import math

import numpy as np

from jaxkd.runtime.files import Json

INPUT = "images"


class RequestError(Exception):
  """A request that can't be answered.

  Attributes:
    status: the reply's HTTP status, 4xx.
    headers: the reply's additional headers.
  """

  def __init__(
    self, message: str, status: int = 400, headers: dict[str, str] | None = None
  ):
    super().__init__(message)
    self.status, self.headers = status, headers


def parse(body: bytes) -> dict[str, Json]:
  """Parses the JSON object in a request's body.

  Raises:
    RequestError: if the body is not a JSON object.
  """
  try:
    request = json.loads(body)
  except (ValueError, RecursionError) as error:
    raise RequestError(f"The body is not JSON: {error}.") from error
  if not isinstance(request, dict):
    raise RequestError("The body must be a JSON object.")
  return request


def get_single(tensors: Json, field: str, name: str) -> dict[str, Json]:
  """Returns the only tensor in a list.

  Args:
    tensors: the list, as the client sent it.
    field: the field of the request that holds the list, for messages.
    name: the name that the tensor must have.

  Raises:
    RequestError: if the list does not hold exactly that tensor.
  """
  match tensors:
    case [{"name": str(actual)} as tensor] if actual == name:
      return tensor
  raise RequestError(f"{field} must hold one tensor, named {name!r}.")


def images_v2(request: dict[str, Json], shape: tuple[int, ...]) -> np.ndarray:
  """Reads the images of a v2 request.

  Args:
    request: the request; its tensor is UINT8 in 0..255 or FP32 in [0, 1], flat
      or nested.
    shape: the shape of one image, `(H, W, C)`.

  Returns:
    `[n, H, W, C]` uint8 or float32.

  Raises:
    RequestError: if the request holds no such tensor.
  """
  tensor = get_single(request.get("inputs"), "inputs", INPUT)
  datatype = tensor.get("datatype")
  if datatype not in ("UINT8", "FP32"):
    raise RequestError("The datatype must be UINT8 or FP32.")
  match tensor.get("shape"):
    case [int(count), *rest] if count > 0 and rest == list(shape):
      nested = (int(count), *shape)
    case _:
      raise RequestError(
        f"The shape must be {['n', *shape]} with n at least 1."
      )
  numbers = _numbers(tensor.get("data"), "data")
  if numbers.shape not in (nested, (math.prod(nested),)):
    raise RequestError(
      f"data has shape {list(numbers.shape)}; it must have the tensor's shape "
      f"{list(nested)}, or be flat with {math.prod(nested)} numbers."
    )
  return _pixels(numbers.reshape(nested), eight_bit=datatype == "UINT8")


def images_v1(request: dict[str, Json], shape: tuple[int, ...]) -> np.ndarray:
  """Reads the images of a V1 request.

  If all numbers are JSON integers they are 8-bit pixels, otherwise floats in
  [0, 1].

  Args:
    request: the request.
    shape: the shape of one image, `(H, W, C)`.

  Returns:
    `[n, H, W, C]` uint8 or float32.

  Raises:
    RequestError: if the request holds no such images.
  """
  numbers = _numbers(request.get("instances"), "instances")
  if numbers.shape[1:] != shape:
    raise RequestError(
      f"instances have shape {list(numbers.shape)}; it must be "
      f"{['n', *shape]} with n at least 1."
    )
  return _pixels(numbers, eight_bit=numbers.dtype.kind != "f")


def _numbers(data: Json, field: str) -> np.ndarray:
  if not isinstance(data, list) or not data:
    raise RequestError(f"{field} must be a list that is not empty.")
  try:
    numbers = np.asarray(data)
  except (ValueError, OverflowError) as error:  # ragged, or 10**400 and 0.5
    raise RequestError(
      f"{field} must be numbers in lists of equal length."
    ) from error
  if numbers.dtype.kind not in "iuf":
    raise RequestError(f"{field} must hold numbers only.")
  return numbers


def _pixels(numbers: np.ndarray, *, eight_bit: bool) -> np.ndarray:
  if eight_bit:
    if numbers.dtype.kind == "f" or numbers.min() < 0 or numbers.max() > 255:
      raise RequestError("8-bit pixels must be whole numbers from 0 to 255.")
    return numbers.astype(np.uint8)
  if not ((numbers >= 0) & (numbers <= 1)).all():  # also true for NaN
    raise RequestError("Float pixels must be from 0 to 1.")
  return numbers.astype(np.float32)


def rank_classes(scores: np.ndarray, count: int) -> np.ndarray:
  """Writes `score:class`, highest first, as Triton's classification extension.

  Args:
    scores: `[n, K]`; of equal ones the lower class comes first.
    count: the number of classes, at most K.

  Returns:
    `[n, count]` strings.

  >>> rank_classes(np.array([[0.1, 0.7, 0.2]]), 2).tolist()
  [['0.7:1', '0.2:2']]
  """
  order = np.argsort(-scores, axis=-1, kind="stable")[:, :count]
  strings = [
    [f"{row[label]:.9g}:{label}" for label in labels]
    for row, labels in zip(scores, order, strict=True)
  ]
  return np.array(strings, object)
