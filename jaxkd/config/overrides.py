"""Overrides such as `--config.student.epochs=3` are checked as texts."""

import ast
from collections.abc import Mapping, Sequence
import re
from types import GenericAlias
from typing import get_args

from jaxkd.config import fields
from jaxkd.config.fields import Block

FLAG = re.compile(r"--?(no)?config\.(?P<path>[^=]+)(=(?P<text>.*))?", re.DOTALL)
BOOLEANS = {"true": True, "t": True, "1": True}
BOOLEANS |= {"false": False, "f": False, "0": False}


def overrides(argv: Sequence[str]) -> dict[str, str | None]:
  """Returns the text behind `=` of every override, by the path of its field.

  >>> overrides(["--config=a.py", "--config.seed=1", "--config.tensorboard"])
  {'seed': '1', 'tensorboard': None}
  """
  matches = map(FLAG.fullmatch, argv)
  return {match["path"]: match["text"] for match in matches if match}


def check(block: Block, texts: Mapping[str, str | None]) -> None:
  """Checks that fields are known, and take what the texts mean.

  Raises:
    JaxkdError: naming the field.
  """
  for path, text in texts.items():
    field = fields.find(block, path)
    if text is None:
      continue
    if isinstance(field, Block):
      fields.check(field, _literal(text), f"{path}.")
    else:
      field.check(path, _value(field.type, text))


def parsed(
  block: Block, texts: Mapping[str, str]
) -> dict[str, int | float | str | bool | tuple]:
  """Returns the values that texts mean for the fields of a block.

  Raises:
    JaxkdError: naming the block and the field.
  """
  values = {
    name: _value(fields.find(block, name, f"{block.name}.").type, text)
    for name, text in texts.items()
  }
  fields.check(block, values, f"{block.name}.")
  return values


def _value(kind: type | GenericAlias, text: str) -> object:
  if kind is str:
    return text
  if kind is bool:
    return BOOLEANS.get(text.lower(), text)
  value = _literal(text)
  one = get_args(kind) and not isinstance(value, (tuple, list))
  return (value,) if one else value


def _literal(text: str) -> object:
  """Returns a text as number, tuple or dict where it is one."""
  try:
    return ast.literal_eval(text)
  except (SyntaxError, ValueError):
    return text
