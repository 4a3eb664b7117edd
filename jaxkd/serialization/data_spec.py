"""Specs of inputs as JSON, which is checked when it is read."""

import math
import re

from jaxkd.config import checks
from jaxkd.types import DataSpec, JaxkdError

MAX_VALUES, MAX_CLASSES, MAX_NUMBER = 2**22, 2**17, 2**40
_SPEC_NAME = re.compile(r"(?!\.)[^\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]{1,100}")


def spec_of(fields: object, where: str) -> DataSpec:
  """Creates a `DataSpec` from parsed JSON.

  Args:
    fields: the parsed JSON.
    where: where it is from, for messages.

  Raises:
    JaxkdError: if a field is missing or unknown, or if `check_spec` refuses its
      value.

  >>> spec_of({"name": "a", "shape": [8, 8, 1], "num_classes": 2,
  ...   "mean": [0.5], "std": [0.5]}, "card.json").shape
  (8, 8, 1)
  """
  if not isinstance(fields, dict):
    raise JaxkdError(f"{where}: spec must be a JSON object.")
  checks.keys(f"{where}: spec", fields, DataSpec._fields)
  spec = DataSpec(
    **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
  )
  check_spec(spec, where)
  return spec


def check_spec(spec: DataSpec, where: str) -> None:
  """Checks types and values of all fields of a spec.

  Args:
    spec: the spec.
    where: where it is from, for messages.

  Raises:
    JaxkdError: if a field has another type, if there are more than 2^22 values
      or 2^17 classes, if the name cannot be part of a file's name, or if a
      standard deviation is not positive.
  """
  name, shape, classes, mean, std = spec
  if not (isinstance(name, str) and _SPEC_NAME.fullmatch(name)):
    raise JaxkdError(
      f"{where}: spec.name={name!r}; choose up to 100 printable characters "
      "without slashes, not beginning with a dot."
    )
  if not (_numbers(shape, int) and len(shape) in (1, 3) and min(shape) > 0):
    raise JaxkdError(
      f"{where}: spec.shape={shape}; it must be [H, W, C], or [D] for points."
    )
  if math.prod(shape) > MAX_VALUES:
    raise JaxkdError(
      f"{where}: spec.shape={shape}; inputs may have up to {MAX_VALUES} values."
    )
  if not (_numbers((classes,), int) and 1 < classes <= MAX_CLASSES):
    raise JaxkdError(
      f"{where}: spec.num_classes={classes}; choose 2 to {MAX_CLASSES}, 2 also "
      "for a network with one output."
    )
  for field, numbers in (("mean", mean), ("std", std)):
    if not _numbers(numbers, int, float) or len(numbers) not in (1, shape[-1]):
      raise JaxkdError(
        f"{where}: spec.{field}={numbers}; give {shape[-1]} finite numbers, "
        "one per channel."
      )
  if min(std) <= 0:
    raise JaxkdError(f"{where}: spec.std={std}; all of them must be above 0.")


def _numbers(values: object, *types: type) -> bool:
  """Returns whether this is a tuple of finite numbers of these types."""
  return (
    isinstance(values, tuple)
    and bool(values)
    and all(isinstance(each, types) for each in values)
    and not any(isinstance(each, bool) for each in values)
    and all(abs(each) < MAX_NUMBER for each in values)
  )
