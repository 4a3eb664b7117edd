"""Folders of images whose labels stand in tables, as `train.csv`.

A table has a line for each image, with a column of file names and a column of
labels; commas, semicolons or tabs are between them.
"""

from collections.abc import Iterator
import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.class_folders import (
  TEST_SPLITS,
  TRAIN_SPLITS,
  Folders,
  Part,
)
from jaxkd.data.class_order import in_order_of_teacher
from jaxkd.data.pictures import is_image_file
from jaxkd.data.shapes import first_three
from jaxkd.types import JaxkdError

_SUFFIXES = (".csv", ".tsv")
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

  Tables, or else the folders of images, are called as splits are. Without
  splits the images are the test split. Labels are class numbers if all of them
  are, and otherwise names, in their order or that of the teacher.

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
    for path in folder.iterdir()
    if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
  )
  images = _images(folder) if tables else {}
  used = {path.name: list(_rows(path, folder, images)) for path in tables}
  used = {name: rows for name, rows in used.items() if rows}
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

  note = f"labels are those of {first_three(used)}"
  return Folders(part("train"), part("test", ""), names, (note,))


def _images(folder: Path) -> dict[str, Path]:
  """Returns the images below a folder by path, by name and by stem."""
  found: dict[str, Path] = {}
  for parent, folders, files in os.walk(folder):
    folders[:] = [name for name in folders if not name.startswith((".", "__"))]
    for name in files:
      path = Path(parent, name)
      if is_image_file(path):
        relative = path.relative_to(folder)
        bare = relative.with_suffix("").as_posix()
        for key in (relative.as_posix(), bare, name, path.stem):
          found.setdefault(key, path)
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
    return
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
    split = _split(path.stem) or _split(places[0] if places else "")
    yield _Row(image, line[label].strip(), split)


def _find(name: str, path: Path, images: dict[str, Path]) -> Path | None:
  """Returns the image that a table means by a path, a name or a stem."""
  name = name.strip().replace("\\", "/").removeprefix("./")
  last = name.rsplit("/", 1)[-1]
  within = f"{path.stem}/{name}"  # of two images with one name
  keys = (within, name, last)
  return next((images[key] for key in keys if key in images), None)


def _split(name: str) -> str:
  """Returns which split a table or a folder is of by its name, or nothing."""
  words = name.lower().replace("-", "_").split("_")
  for split, known in (("train", TRAIN_SPLITS), ("test", TEST_SPLITS)):
    if any(word in known or word == f"{split}labels" for word in words):
      return split
  return ""


def _lines(path: Path) -> list[list[str]]:
  """Returns the cells of a table, whatever its encoding and its delimiter."""
  content = path.read_bytes()
  utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
  try:
    text = content.decode("utf-16" if utf16 else "utf-8-sig")
  except UnicodeDecodeError:
    text = content.decode("cp1252", errors="replace")  # as Windows writes it
  first = text.partition("\n")[0]
  delimiter = max(",;\t", key=first.count)
  lines = text.splitlines()
  return [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]
