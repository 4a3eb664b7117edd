"""Names of classes in text files as people and other systems write them."""

import ast
import codecs
from collections import Counter
import json
from pathlib import Path
import re

from jaxkd.runtime.files import Json
from jaxkd.serialization import model_card
from jaxkd.types import JaxkdError

_BYTE_ORDER_MARKS = {
  codecs.BOM_UTF8: "utf-8-sig",
  codecs.BOM_UTF16_LE: "utf-16",
  codecs.BOM_UTF16_BE: "utf-16",
}
_NUMBERED = re.compile(r"(\d+)\s*(?:[:,;.)\t=]|\s)\s*(\S.*)")
_QUOTES = "\"'`"


def read(path: Path) -> tuple[str, ...]:
  """Reads names of classes in their order.

  There is one in each line, with or without its number, quotes or a comma; or
  the file is a list, a dict from numbers to names or from names to numbers, in
  JSON or as Python prints it. In a JSON object `id2label` or `names` may hold
  them. A name that occurs twice gets its number behind it.

  Raises:
    JaxkdError: if the file can't be read, or is longer than a model card.
  """
  try:
    if path.stat().st_size > model_card.MAX_BYTES:
      raise JaxkdError(
        f"{path} is longer than {model_card.MAX_BYTES} bytes; give a text file "
        "with one class name per line."
      )
    text = _decode(path.read_bytes()).removeprefix("\ufeff")
  except OSError as error:
    raise JaxkdError(f"{path} cannot be read: {error}.") from error
  if text.lstrip()[:1] in ("[", "{", "("):
    names = _from_literal(path, text)
  else:
    names = _from_lines(text)
  return _distinct(names)


def _decode(content: bytes) -> str:
  """Decodes text by its byte order mark, or as UTF-8, or as Windows writes it.

  >>> _decode("Käfer".encode("cp1252"))
  'Käfer'
  """
  for mark, encoding in _BYTE_ORDER_MARKS.items():
    if content.startswith(mark):
      return content.decode(encoding, errors="replace")
  try:
    return content.decode("utf-8")
  except UnicodeDecodeError:
    return content.decode("cp1252", errors="replace")


def _from_lines(text: str) -> list[str]:
  lines = [line.strip().rstrip(",").strip() for line in text.splitlines()]
  lines = [line for line in lines if line]
  matches = [_NUMBERED.fullmatch(line) for line in lines]
  if lines and all(matches):
    numbers = [int(match[1]) for match in matches]
    if sorted(numbers) in (_range(0, lines), _range(1, lines)):
      pairs = zip(numbers, (match[2] for match in matches), strict=True)
      return [_unquoted(name) for _, name in sorted(pairs)]
  return [_unquoted(line) for line in lines]


def _range(first: int, lines: list[str]) -> list[int]:
  return list(range(first, first + len(lines)))


def _unquoted(name: str) -> str:
  name = name.strip()
  if len(name) > 1 and name[0] == name[-1] and name[0] in _QUOTES:
    return name[1:-1].strip()
  return name


def _from_literal(path: Path, text: str) -> list[str]:
  """Reads names from a list or dict in JSON or Python."""
  try:
    try:
      value = json.loads(text)
    except ValueError:
      value = ast.literal_eval(text.strip())
  except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
    raise JaxkdError(
      f"{path} begins like a list or dict of names and is none ({error}); give "
      "JSON, or one name per line."
    ) from error
  if isinstance(value, dict):
    value = next((value[k] for k in ("id2label", "names") if k in value), value)
  names = _in_order(value) if isinstance(value, dict) else value
  if not isinstance(names, (list, tuple)) or not names:
    raise JaxkdError(
      f"{path} holds a {type(value).__name__} that is neither a list of names "
      "nor a dict of names and numbers 0, 1, and so on."
    )
  return [_last(name) for name in names]


def _in_order(value: dict[Json, Json]) -> list[Json] | None:
  """Returns the names of a dict of numbers and names, either way round."""
  for names in (value, {number: name for name, number in _pairs(value)}):
    try:
      by_number = {int(number): name for number, name in names.items()}
    except (TypeError, ValueError):
      continue
    if sorted(by_number) in (_range(0, list(value)), _range(1, list(value))):
      return [by_number[number] for number in sorted(by_number)]
  return None


def _pairs(value: dict[Json, Json]) -> list[tuple[Json, Json]]:
  hashable = all(isinstance(each, (int, str)) for each in value.values())
  return list(value.items()) if hashable else []


def _last(name: Json) -> str:
  """Returns a name, or the last of several words for a class, such as
  `["n01440764", "tench"]`.
  """
  return str(name[-1] if isinstance(name, (list, tuple)) and name else name)


def _distinct(names: list[str]) -> tuple[str, ...]:
  """Adds its number to every name that occurs more than once.

  >>> _distinct(["crane", "crow", "crane"])
  ('crane (0)', 'crow', 'crane (2)')
  """
  counts = Counter(names)
  return tuple(
    f"{name} ({index})" if counts[name] > 1 else name
    for index, name in enumerate(names)
  )
