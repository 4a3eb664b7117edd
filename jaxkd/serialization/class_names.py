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
# A number and a name, a name and a number, the line above a table or a list.
_NUMBERED = re.compile(
  r"\"?(?P<number>\d+)\"?\s*(?:[:,;.)\t=]|\s)\s*(?P<name>\S.*)"
)
_NAMED = re.compile(r"(?P<name>.*\S)\s*(?:[:,;\t=]|\s)\s*(?P<number>\d+)")
_HEAD = re.compile(r"[^\W\d]\w*\s*(?:[,;\t]\s*\w+|:)")
_COMMENT, _ITEM = "# ", "- "
_KEYS = ("id2label", "names", "categories", "classes", "class_names", "labels")
# The value of such a key in YAML, up to the next key.
_YAML = re.compile(
  rf"^(?:{'|'.join(_KEYS)}):[ \t]*(?P<value>.*?)(?=^\w+:|\Z)",
  re.DOTALL | re.MULTILINE,
)
_QUOTES = "\"'`"


def read(path: Path) -> tuple[str, ...]:
  """Reads names of classes in their order.

  There is one in each line, with or without its number before or behind it,
  quotes or a comma, below a line that names the columns or above all; or the
  file is a list, a dict from numbers to names or from names to numbers, in
  JSON or as Python prints it. In an object of JSON or YAML `id2label`, `names`,
  `categories` and the like may hold them, each an object with its `id` and
  `name` if they are a list. A name that occurs twice gets its number behind it.

  Raises:
    JaxkdError: if the file can't be read, is longer than a model card, or holds
      no names.
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
  if match := _YAML.search(text):
    text = _quoted_items(match["value"])
  if text.lstrip()[:1] in ("[", "{", "("):
    names = _from_literal(path, text)
  else:
    names = _from_lines(text)
  if not names or any("\0" in name for name in names):
    raise JaxkdError(
      f"{path} holds no text with names; give a text file with one class name "
      "per line, or JSON."
    )
  return _distinct(names)


def _decode(content: bytes) -> str:
  """Decodes text by its byte order mark, or as UTF-8, or as Windows writes it.

  >>> _decode("Käfer".encode("cp1252")), _decode("Käfer".encode("utf-16-le"))
  ('Käfer', 'Käfer')
  """
  for mark, encoding in _BYTE_ORDER_MARKS.items():
    if content.startswith(mark):
      return content.decode(encoding, errors="replace")
  # UTF-16 without a mark: every second byte of most letters is 0.
  for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
    if 2 * content[first::2].count(0) > len(content[first::2]):
      return content.decode(encoding, errors="replace")
  try:
    return content.decode("utf-8")
  except UnicodeDecodeError:
    return content.decode("cp1252", errors="replace")


def _quoted_items(value: str) -> str:
  """Returns a list of YAML as one of Python, whose items have quotes.

  >>> _quoted_items("[cat, a dog]")
  "['cat', 'a dog']"
  """
  match = re.fullmatch(r"\s*\[([^]]*)\]\s*", value)
  if not match or any(quote in match[1] for quote in _QUOTES[:2]):
    return value
  return repr([item.strip() for item in match[1].split(",") if item.strip()])


def _from_lines(text: str) -> list[str]:
  lines = [line.strip().rstrip(",").strip() for line in text.splitlines()]
  lines = [line for line in lines if line and not line.startswith(_COMMENT)]
  head = lines[0].replace('"', "") if lines else ""
  for rows in (lines, lines[1:] if _HEAD.fullmatch(head) else []):
    if rows and all(row.startswith(_ITEM) for row in rows):
      return [_unquoted(row.removeprefix(_ITEM)) for row in rows]
    for pattern in (_NUMBERED, _NAMED):
      names = _numbered(pattern, rows)
      if names:
        return names
  return [_unquoted(line) for line in lines]


def _numbered(pattern: re.Pattern[str], lines: list[str]) -> list[str]:
  """Returns the names of lines with numbers, in their order, or none.

  Lines such as `class 0` that differ in the number alone are names themselves.
  """
  matches = [match for line in lines if (match := pattern.fullmatch(line))]
  numbers = [int(match["number"]) for match in matches]
  names = [_unquoted(match["name"]) for match in matches]
  complete = sorted(numbers) in (_range(0, lines), _range(1, lines))
  if not complete or (len(lines) > 1 and len(set(names)) == 1):
    return []
  return [name for _, name in sorted(zip(numbers, names, strict=True))]


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
    value = next((value[key] for key in _KEYS if key in value), value)
  if isinstance(value, list) and all(map(_is_category, value)):
    value = {each["id"]: each["name"] for each in value}
  names = _in_order(value) if isinstance(value, dict) else value
  if not isinstance(names, (list, tuple)) or not names:
    raise JaxkdError(
      f"{path} holds a {type(value).__name__} that is neither a list of names "
      "nor a dict of names and numbers 0, 1, and so on."
    )
  return [_last(name) for name in names]


def _is_category(value: Json) -> bool:
  return isinstance(value, dict) and {"id", "name"} <= value.keys()


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
