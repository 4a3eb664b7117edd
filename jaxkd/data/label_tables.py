"""Folders of images whose labels stand in tables, as `train.csv`.

A table has a line for each image, with a column of file names and a column of
labels, or a column for each class with a one in that of the image. Commas,
semicolons, tabs or spaces are between them. Its first line names the columns,
unless these say themselves what they are. It may also be JSON.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data import table_cells, table_columns
from jaxkd.data.class_folders import Folders, Part
from jaxkd.data.class_order import in_order_of_teacher, plain, same_classes
from jaxkd.data.named_images import NamedImages
from jaxkd.data.split_folders import folders, readable, split_of
from jaxkd.data.table_cells import TEXTS
from jaxkd.data.table_columns import Columns, number_of
from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError

# What programs write in place of a number that is missing.
_MISSING = ("nan", "none", "null", "na", "n/a", "<na>")


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

  Tables, a column in them, or else the folders of images, are called as splits
  are, and tables may lie in these. Without splits the images are the test
  split. Labels are class numbers if all of them are, and otherwise names, in
  their order or that of the teacher.

  Args:
    folder: with tables; images are in it or below it.
    num_classes: of the teacher; 0 if it is not known.
    class_names: of the teacher in order; empty if they are not known.

  Returns:
    The images; without class names where labels are numbers. None if no table
    labels an image.

  Raises:
    JaxkdError: if a table that labels images has a line without a label, or
      for an image that doesn't exist, or with labels of several classes.
  """
  files = sorted(
    path
    for place in (folder, *filter(_is_split, folders(folder)))
    for path in place.iterdir()
    if path.suffix.lower() in TEXTS and not path.name.startswith(".")
  )
  if not files:
    return None
  images, tables = NamedImages(folder), {}
  for path in files:
    columns = table_columns.find(
      table_cells.read(path), images, num_classes, class_names
    )
    if columns and not _names_folders(columns, folder):
      tables[path] = columns
  notes = []
  for path in [path for path in tables if "submission" in path.stem.lower()]:
    if len(tables) > 1:  # labels that a contest gives as an example
      notes.append(f"{path.name} is left out")
      del tables[path]
  rows = [
    row for path, table in tables.items() for row in _rows(path, table, images)
  ]
  if not rows:
    return None
  rows = _once(rows)
  numbers = all(number_of(row.label) is not None for row in rows)
  known = [r for r in rows if r.label.lower() not in _MISSING]
  if len(known) < len(rows) and all(
    number_of(r.label) is not None for r in known
  ):
    file = next(row.file for row in rows if row not in known)
    raise JaxkdError(
      f"The tables in {folder} have no label of {file.name}; add it, or delete "
      "the line."
    )
  names: tuple[str, ...] = ()
  if not numbers:
    ordered = next((t.classes for t in tables.values() if t.classes), ())
    names = tuple(sorted({row.label for row in rows}))
    names = ordered if {*names} <= {*ordered} else names
    names = in_order_of_teacher(folder, names, class_names, num_classes)
  same = same_classes({row.label for row in rows}, names)
  index = {name: number for number, name in enumerate(names)}

  def part(*splits: str) -> Part:
    chosen = [row for row in rows if row.split in splits]
    labels = [
      number_of(row.label) if numbers else index[same[row.label]]
      for row in chosen
    ]
    return Part([row.file for row in chosen], np.array(labels, np.int32))

  paths = [readable(path.relative_to(folder).as_posix()) for path in tables]
  notes.insert(0, f"labels are those of {first_three(paths)}")
  if left := len(images.files) - len({row.file for row in rows}):
    notes.append(f"{left} other images are left out")
  return Folders(part("train"), part("test", ""), names, tuple(notes))


def _is_split(folder: Path) -> bool:
  return bool(split_of(folder.name))


def _names_folders(columns: Columns, folder: Path) -> bool:
  """Returns whether this is a list of classes that are the folders' names."""
  labels = [plain(row[columns.labels[0]]) for row in columns.rows]
  known = {plain(readable(child.name)) for child in folders(folder)}
  return len(set(labels)) == len(labels) and known.issuperset(labels)


def _rows(path: Path, columns: Columns, images: NamedImages) -> Iterator[_Row]:
  """Yields the lines of a table.

  Raises:
    JaxkdError: for a line without an image or a label.
  """
  for line in columns.rows:
    name = line[columns.file].strip()
    said = split_of(line[columns.split]) if columns.split is not None else ""
    split = said or split_of(path.stem)
    image = images.find(name, path, split)
    if image is None:
      raise JaxkdError(
        f"{path} names {name}, and there is no such image in {images.folder}; "
        "add it, or delete the line."
      )
    if columns.classes:
      ones = [
        label
        for label, c in zip(columns.classes, columns.labels, strict=True)
        if number_of(line[c]) == 1
      ]
      if len(ones) != 1:
        raise JaxkdError(
          f"{path} has {len(ones)} classes of {name}; every image needs one."
        )
      label = ones[0]
    else:
      label = line[columns.labels[0]].strip()
    if not label:
      raise JaxkdError(
        f"{path} has no label of {name}; add it, or delete the line."
      )
    *places, _ = image.relative_to(images.folder).parts
    yield _Row(image, label, split or split_of(places[0] if places else ""))


def _once(rows: list[_Row]) -> list[_Row]:
  """Returns each image of a split once, as a table of objects in images has
  several lines for one.

  Raises:
    JaxkdError: if an image has two labels.
  """
  found: dict[tuple[Path, str], _Row] = {}
  for row in rows:
    other = found.setdefault((row.file, row.split), row)
    if other.label != row.label:
      raise JaxkdError(
        f"{row.file} has the labels {other.label} and {row.label} in the "
        "tables; every image needs one."
      )
  # Tables of all images, or of other images, beside those of the splits.
  of_splits = {file for file, split in found if split}
  complete = any(split == "test" for _, split in found)
  return [
    row
    for row in found.values()
    if row.split or not (complete or row.file in of_splits)
  ]
