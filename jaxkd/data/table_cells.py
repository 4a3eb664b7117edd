"""The cells of tables in text files, whatever their encoding and delimiter."""

import csv
import json
from pathlib import Path
import re

from jaxkd.data.pictures import SUFFIXES
from jaxkd.runtime.files import Json

TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl")
MAX_BYTES = 2**28
_IMAGE = "|".join(re.escape(suffix) for suffix in SUFFIXES)
# A file name, which may have spaces, and what stands behind or before it.
_FILE_FIRST = re.compile(rf"(.*?(?:{_IMAGE}))\s+(\S.*)", re.IGNORECASE)
_FILE_LAST = re.compile(rf"(\S+)\s+(\S.*(?:{_IMAGE}))", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d.+-]+(?:\s+[\d.+-]+)+")


def read(path: Path) -> list[list[str]]:
  """Returns the rows of a table without those that are empty; none if it is too
  large for one, or holds something else.
  """
  if path.stat().st_size > MAX_BYTES:
    return []
  content = path.read_bytes()
  utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
  try:
    text = content.decode("utf-16" if utf16 else "utf-8-sig")
  except UnicodeDecodeError:
    text = content.decode("cp1252", errors="replace")  # as Windows writes it
  suffix = path.suffix.lower()
  try:
    if suffix == ".jsonl":
      lines = [line for line in text.splitlines() if line.strip()]
      return _of_json([json.loads(line) for line in lines])
    if suffix == ".json":
      return _of_json(json.loads(text))
    return _of_text(text)
  except (ValueError, RecursionError, csv.Error):
    return []


def _of_text(text: str) -> list[list[str]]:
  lines = [line for line in text.splitlines() if line.strip()]
  while lines and lines[0].startswith("#"):  # a comment
    del lines[0]
  first = lines[0] if lines else ""
  if first.lower().startswith("sep=") and len(first.strip()) <= 5:
    # Excel names the delimiter so.
    delimiter = first[4:5].strip() or "\t"
    del lines[0]
  else:
    delimiter = max(",;\t", key=first.count)
    if delimiter not in first:
      return [_words(line) for line in lines]
  return [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]


def _words(line: str) -> list[str]:
  """Returns the cells of a line in which spaces are between them.

  >>> _words("my cat.png 3"), _words("0  a.png"), _words("a.png 1 2")
  (['my cat.png', '3'], ['0', 'a.png'], ['a.png', '1', '2'])
  """
  line = line.strip()
  match = _FILE_FIRST.fullmatch(line) or _FILE_LAST.fullmatch(line)
  if match is None:
    return line.split()
  return [
    cell
    for part in match.groups()
    for cell in (part.split() if _NUMBERS.fullmatch(part) else [part])
  ]


def _of_json(value: Json) -> list[list[str]]:
  """Returns the rows of a list of objects or of pairs, or of an object of files
  and labels, or of labels and their files.
  """
  if isinstance(value, dict) and len(value) == 1:
    (inner,) = value.values()
    if isinstance(inner, dict) or (inner and _are(inner, (dict, list))):
      return _of_json(inner)
  if isinstance(value, dict):
    cells = list(value.values())
    if cells and _are(cells, (str, int, float)):
      return [[key, str(label)] for key, label in value.items()]
    if cells and all(_are(files, str) for files in cells):
      return [[file, key] for key, files in value.items() for file in files]
    return []
  if value and _are(value, dict):
    keys = [key for key in value[0] if not isinstance(value[0][key], dict)]
    return [keys, *([str(o.get(key, "")) for key in keys] for o in value)]
  if value and _are(value, list):
    return [[str(cell) for cell in row] for row in value]
  return []


def _are(values: Json, kinds: type | tuple[type, ...]) -> bool:
  return isinstance(values, list) and all(isinstance(v, kinds) for v in values)
