"""Every field of a config is declared once, with its type, default and range.

The defaults of configs, the checks before a run, the answers to unknown and
renamed fields and what `--fields` prints follow from the declaration.
"""

from collections.abc import Collection, Iterator, Mapping
import math
import numbers
import sys
import textwrap
from types import GenericAlias
from typing import Any, NamedTuple, get_args

from ml_collections import ConfigDict

from jaxkd.config import checks
from jaxkd.errors import JaxkdError

Values = Mapping[str, Any] | ConfigDict
NOUNS = {int: "integer", float: "number", str: "string"}


class Interval(NamedTuple):
  """The numbers from `low` to `high`, without an end that is open."""

  low: float
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False

  def holds(self, value: float) -> bool:
    """Returns whether a number lies in the interval."""
    above = value > self.low if self.open_low else value >= self.low
    below = value < self.high if self.open_high else value <= self.high
    return above and below

  def __str__(self) -> str:
    words = f"above {self.low}" if self.open_low else f"of at least {self.low}"
    if self.high == math.inf:
      return words
    end = "below" if self.open_high else "at most"
    return f"{words} and {end} {self.high}"


COUNT = Interval(1)
NOT_NEGATIVE = Interval(0)
POSITIVE = Interval(0, open_low=True)
UNIT = Interval(0, 1)
SHARE = Interval(0, 1, open_low=True)
FRACTION = Interval(0, 1, open_high=True)
OPEN_UNIT = Interval(0, 1, open_low=True, open_high=True)


class Field(NamedTuple):
  """A field that holds a value.

  Attributes:
    name: in its block.
    type: `int`, `float`, `bool`, `str`, or a tuple of one of these, as
      `tuple[str, ...]` or `tuple[float, float]`.
    default: its value where a config leaves it out; `...` if no config may,
      None if there is no value then.
    meaning: a sentence.
    allowed: the numbers or names that it takes; of a tuple, that its items are.
    formerly: the name that it once had.
  """

  name: str
  type: type | GenericAlias
  default: object
  meaning: str
  allowed: Interval | Collection[str] | None = None
  formerly: str = ""

  @property
  def takes(self) -> str:
    """Says in words which values the field takes."""
    if self.type is bool:
      return "True or False"
    items = get_args(self.type)
    noun = NOUNS[items[0] if items else self.type]
    if items:
      count = "" if items[-1] is ... else f"{len(items)} "
      noun = f"a tuple of {count}{noun}s"
    else:
      noun = f"an {noun}" if noun == "integer" else f"a {noun}"
    if self.allowed is None:
      return noun
    if isinstance(self.allowed, Interval):
      return f"{noun} {self.allowed}"
    names = ", ".join(name or "''" for name in self.allowed)
    return f"{noun} out of {names}" if items else f"one of {names}"

  def check(self, path: str, value: object) -> None:
    """Checks the type of a value, and that it is allowed.

    Raises:
      JaxkdError: naming the field, the value and what it takes.
    """
    if value is None and self.default is None:
      return
    fits = has_type(value, self.type)
    if fits and self.allowed is not None:
      for item in value if get_args(self.type) else (value,):
        if isinstance(self.allowed, Interval):
          fits = fits and self.allowed.holds(item)
        else:
          checks.choice(path, item, self.allowed)
    if not fits:
      raise JaxkdError(f"{path}={_plain(value)!r}: choose {self.takes}.")


class Block(NamedTuple):
  """A field that holds further fields.

  Attributes:
    name: in the block around it; empty for a whole config.
    meaning: a sentence.
    fields: that it holds.
    required: whether each config has it.
  """

  name: str
  meaning: str
  fields: "tuple[Field | Block, ...]"
  required: bool = True


def defaults(block: Block) -> dict[str, Any]:
  """Returns the fields that a config may leave out, with their defaults."""
  values = {}
  for field in block.fields:
    if isinstance(field, Block):
      if field.required:
        values[field.name] = defaults(field)
    elif field.default is not ... and field.default is not None:
      values[field.name] = field.default
  return values


def filled(block: Block, values: Values) -> dict[str, Any]:
  """Returns the values of a block, and defaults for those that it lacks."""
  blocks = {
    field.name: field for field in block.fields if isinstance(field, Block)
  }
  given = {
    name: filled(blocks[name], value) if name in blocks else value
    for name, value in values.items()
  }
  return {**defaults(block), **given}


def check(block: Block, values: object, path: str = "") -> None:
  """Checks that a block has the declared fields, with values that they take.

  Args:
    block: as it is declared.
    values: as a config has them.
    path: of the block in the config, with a dot behind it.

  Raises:
    JaxkdError: naming the field; of a renamed one the new name.
  """
  if not isinstance(values, (Mapping, ConfigDict)):
    raise JaxkdError(not_a_block(block, path, values))
  for name in values:
    find(block, name, path)
  for field in block.fields:
    name = f"{path}{field.name}"
    if isinstance(field, Block):
      if field.required or field.name in values:
        check(field, values.get(field.name, {}), f"{name}.")
    elif field.name in values:
      field.check(name, values[field.name])
    elif field.default is ...:
      raise JaxkdError(f"{name} is missing: {field.takes}. {field.meaning}")


def find(block: Block, name: str, path: str = "") -> Field | Block:
  """Returns the declaration of a field, whose name may have dots.

  Raises:
    JaxkdError: if there is none; of a renamed field with the new name.
  """
  name, _, rest = name.partition(".")
  for field in block.fields:
    if name == field.name:
      if not rest:
        return field
      if isinstance(field, Block):
        return find(field, rest, f"{path}{name}.")
      raise JaxkdError(
        f"{path}{name}.{rest}: {path}{name} holds no further fields, it takes "
        f"{field.takes}."
      )
    if isinstance(field, Field) and name and name == field.formerly:
      raise JaxkdError(f"{path}{name} is called {path}{field.name} now.")
  if not block.fields:
    raise JaxkdError(
      f"{path}{name}: {block.name} has no fields here; leave it out."
    )
  kind = f"field in {path.removesuffix('.')}" if path else "field"
  names = [field.name for field in block.fields]
  raise JaxkdError(checks.unknown(kind, name, names))


def not_a_block(block: Block, path: str, value: object) -> str:
  """Returns the message for a value in place of a block."""
  name = path.removesuffix(".") or "The config"
  fields = ", ".join(f"{path}{field.name}" for field in block.fields)
  return f"{name}={_plain(value)!r}: a block takes no value; set {fields}."


def describe(block: Block, values: Values, path: str = "") -> Iterator[str]:
  """Yields lines for every field: its value, what it takes, what it means."""
  for field in block.fields:
    name = f"{path}{field.name}"
    if isinstance(field, Block):
      if field.name in values:
        yield from describe(field, values[field.name], f"{name}.")
      continue
    unset = field.default is None or field.default is ...
    value = values.get(field.name, field.default)
    yield f"{name} = {'(not set)' if value in (None, ...) else repr(value)}"
    usual = "" if unset else f", by default {field.default!r}"
    text = f"{field.takes}{usual}. {field.meaning}"
    yield textwrap.indent(textwrap.fill(text, 76), " " * 4)


def has_type(value: object, kind: type | GenericAlias) -> bool:
  """Returns whether a value has the type of a field; numbers are finite."""
  items = get_args(kind)
  if items:
    return (
      isinstance(value, (tuple, list))
      and (items[-1] is ... or len(value) == len(items))
      and all(has_type(item, items[0]) for item in value)
    )
  if kind in (str, bool):
    return isinstance(value, kind)
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return False
  return isinstance(value, numbers.Integral) or (
    kind is float and abs(value) <= sys.float_info.max
  )


def _plain(value: object) -> object:
  return value.to_dict() if isinstance(value, ConfigDict) else value
