"""Folders of images whose labels stand in tables, as `train.csv`.

A table has a line for each image, with a column of file names and a column of
labels; commas, semicolons, tabs or spaces are between them. Its first line
names the columns, unless these two are all. A line may also be a JSON object.
"""

from collections.abc import Iterator
import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.class_folders import Folders, Part
from jaxkd.data.class_order import in_order_of_teacher
from jaxkd.data.pictures import is_image_file
from jaxkd.data.shapes import first_three
from jaxkd.data.split_folders import folders, readable, split_of, walk
from jaxkd.types import JaxkdError

_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl")
# Names of columns, in lower case and without spaces and underscores.
_FILES = (
  "filename", "filepath", "file", "imagepath", "image", "imageid", "imagename",
  "imagefile", "img", "path", "id", "name",
)  # fmt: skip
_LABELS = (
  "label", "labels", "class", "classname", "classid", "category", "target",
  "level", "y",
)  # fmt: skip


class _Row(NamedTuple):
  """A line of a table.

  Attributes:
    file: of the image.
    label: as it is written.
    split: `train` or `test`, or nothing.
  """

  file: Path
  label: str
  split: str


def read(
  folder: Path, num_classes: int = 0, class_names: tuple[str, ...] = ()
) -> Folders | None:
  """Finds the images that tables in a folder name, by split and class.

  Tables, or else the folders of images, are called as splits are, and tables
  may lie in these. Without splits the images are the test split. Labels are
  class numbers if all of them are, and otherwise names, in their order or that
  of the teacher.

  Args:
    folder: with tables; images are in it or below it.
    num_classes: of the teacher; 0 if it is not known.
    class_names: of the teacher in order; empty if they are not known.

  Returns:
    The images; without class names where labels are numbers. None if no table
    labels an image.

  Raises:
    JaxkdError: if a table that labels images has a line without a label, or
      for an image that doesn't exist.
  """
  tables = sorted(
    path
    for place in (folder, *filter(_is_split, folders(folder)))
    for path in place.iterdir()
    if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
  )
  images = _images(folder) if tables else {}
  used = {path: list(_rows(path, folder, images)) for path in tables}
  used = {path: rows for path, rows in used.items() if rows}
  if not used:
    return None
  rows = [row for rows in used.values() for row in rows]
  numbers = all(row.label.isdecimal() for row in rows)
  names = () if numbers else tuple(sorted({row.label for row in rows}))
  if names:
    names = in_order_of_teacher(folder, names, class_names, num_classes)
  index = {name: number for number, name in enumerate(names)}

  def part(*splits: str) -> Part:
    chosen = [row for row in rows if row.split in splits]
    labels = [int(r.label) if numbers else index[r.label] for r in chosen]
    return Part([row.file for row in chosen], np.array(labels, np.int32))

  paths = [readable(path.relative_to(folder).as_posix()) for path in used]
  note = f"labels are those of {first_three(paths)}"
  return Folders(part("train"), part("test", ""), names, (note,))


def _is_split(folder: Path) -> bool:
  return bool(split_of(folder.name))


def _images(folder: Path) -> dict[str, Path]:
  """Returns the images below a folder by path, by name and by stem, and by all
  of them in lower case.
  """
  found: dict[str, Path] = {}
  for path in sorted(walk(folder)):
    if is_image_file(path):
      relative = path.relative_to(folder)
      bare = relative.with_suffix("").as_posix()
      for key in (relative.as_posix(), bare, path.name, path.stem):
        found.setdefault(key, path)
  for key, path in list(found.items()):
    found.setdefault(key.lower(), path)
  return found


def _rows(path: Path, folder: Path, images: dict[str, Path]) -> Iterator[_Row]:
  """Yields the lines of a table; none, if it has no such columns."""
  header, *lines = _lines(path) or [[]]
  columns = ["".join(c for c in name.lower() if c.isalnum()) for name in header]
  file = next((columns.index(name) for name in _FILES if name in columns), None)
  label = next(
    (columns.index(name) for name in _LABELS if name in columns), None
  )
  if file is None or label is None:
    # Without names of columns there are two.
    are_files = [is_image_file(Path(cell.strip())) for cell in header]
    if sorted(are_files) != [False, True]:
      return
    file, label = are_files.index(True), are_files.index(False)
    lines = [header, *lines]
  lines = [line for line in lines if len(line) > max(file, label)]
  named = [_find(line[file], path, images) for line in lines]
  if not any(named):
    return
  for line, image in zip(lines, named, strict=True):
    if image is None:
      raise JaxkdError(
        f"{path} names {line[file]}, and there is no such image in {folder}; "
        "add it, or delete the line."
      )
    if not line[label].strip():
      raise JaxkdError(
        f"{path} has no label of {line[file]}; add it, or delete the line."
      )
    *places, _ = image.relative_to(folder).parts
    split = split_of(path.stem) or split_of(places[0] if places else "")
    yield _Row(image, line[label].strip(), split)


def _find(name: str, path: Path, images: dict[str, Path]) -> Path | None:
  """Returns the image that a table means by a path, a name or a stem."""
  name = name.strip().replace("\\", "/").removeprefix("./")
  last = name.rsplit("/", 1)[-1]
  # Of two images with one name, that beside the table, or of the table's name.
  within = (f"{path.parent.name}/{name}", f"{path.stem}/{name}")
  keys = (*within, name, last)
  keys = (*keys, *map(str.lower, keys))
  return next((images[key] for key in keys if key in images), None)


def _lines(path: Path) -> list[list[str]]:
  """Returns the cells of a table, whatever its encoding and its delimiter."""
  content = path.read_bytes()
  utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
  try:
    text = content.decode("utf-16" if utf16 else "utf-8-sig")
  except UnicodeDecodeError:
    text = content.decode("cp1252", errors="replace")  # as Windows writes it
  if path.suffix.lower() == ".jsonl":
    return _json_lines(text)
  first = text.partition("\n")[0]
  delimiter = max(",;\t", key=first.count)
  delimiter = delimiter if delimiter in first else " "
  lines = text.splitlines()
  return [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]


def _json_lines(text: str) -> list[list[str]]:
  """Returns the keys and the values of objects of JSON, one in a line."""
  try:
    objects = [json.loads(line) for line in text.splitlines() if line.strip()]
  except ValueError:
    return []
  if not objects or not all(isinstance(each, dict) for each in objects):
    return []
  keys = list(objects[0])
  return [keys, *([str(o.get(key, "")) for key in keys] for o in objects)]
