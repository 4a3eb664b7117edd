"""Which columns of a table are those of images, labels and splits.

The names of columns say it where they are known, and otherwise their cells do.
"""

from collections.abc import Collection, Iterator
import re
from typing import NamedTuple

from jaxkd.data.class_order import same_classes
from jaxkd.data.named_images import NamedImages
from jaxkd.data.pictures import SUFFIXES
from jaxkd.data.split_folders import split_of

# Names of columns, in lower case and without spaces and underscores.
_FILES = (
  "filename", "filepath", "filepaths", "file", "imagepath", "image", "imageid",
  "imagename", "imagefile", "img", "path", "id", "name",
)  # fmt: skip
_LABELS = (
  "label", "labels", "class", "classname", "classid", "classlabel", "category",
  "categoryname", "categoryid", "labelname", "labelid", "target", "choice",
  "groundtruth", "diagnosis", "dx", "level", "y",
)  # fmt: skip
_SPLITS = ("split", "set", "subset", "dataset", "partition", "mluse", "usage")
_COUNTERS = ("", "index", "unnamed0")  # of columns that number the rows
_NUMBER = re.compile(r"\s*(\d+)(?:\.0*)?\s*")  # also as programs write floats


class Columns(NamedTuple):
  """The columns of a table that are read, by their places.

  Attributes:
    file: of the images.
    labels: of their labels; one for each class where rows have a one.
    split: of the splits; None where no column says them.
    classes: names of the classes in their order where rows have a one.
    rows: those that name a file, below the names of the columns; short ones
      are filled up with empty cells.
  """

  file: int
  labels: tuple[int, ...]
  split: int | None
  classes: tuple[str, ...]
  rows: list[list[str]]


def number_of(cell: str) -> int | None:
  """Returns the number that a label is, also as `3.0`; None for a name."""
  match = _NUMBER.fullmatch(cell)
  return int(match[1]) if match else None


def find(
  cells: list[list[str]],
  images: NamedImages,
  num_classes: int,
  class_names: Collection[str],
) -> Columns | None:
  """Finds the columns of a table; None if it labels no images.

  Args:
    cells: the rows, with or without the names of the columns above.
    images: that may be named.
    num_classes: of the teacher; 0 if it is not known.
    class_names: of the teacher; empty if they are not known.
  """
  if not cells:
    return None
  width = max(map(len, cells))
  headless = any(map(_is_file, cells[0]))
  header = [] if headless else cells[0]
  rows = cells if headless else cells[1:]
  names = ["".join(c for c in each.lower() if c.isalnum()) for each in header]
  names += [""] * (width - len(names))
  filled = [row + [""] * (width - len(row)) for row in rows]
  columns = list(zip(*filled, strict=True))
  if not columns:
    return None
  file = next(_places_of_files(names, columns, images), None)
  split = next(
    (c for c in range(width) if _is_split(names[c], columns[c])), None
  )
  if file is None or split == file:
    return None
  others = [c for c in range(width) if c not in (file, split)]
  labels = [names.index(n) for n in _LABELS if n in names]
  labels = [c for c in labels if c in others]
  if labels:
    labels = [_best(labels, columns, num_classes, class_names)]
  elif not (header and images.in_class_folders()):
    # In class folders other columns may say the sizes, for instance.
    labels = _unnamed(others, names, columns)
    if labels == [c for c in labels if c < file and _is_count(columns[c])]:
      return None  # images are numbered, and another table has their labels
  if not labels or (len(labels) > 1 and not header):
    return None
  classes = [header[c].strip() for c in labels] if len(labels) > 1 else []
  named = [row for row in filled if row[file].strip()]
  return Columns(file, tuple(labels), split, tuple(classes), named)


def _places_of_files(
  names: list[str], columns: list[tuple[str, ...]], images: NamedImages
) -> Iterator[int]:
  """Yields the columns that name images: those of such names, of file names,
  and of such names without extension.
  """
  known = [names.index(name) for name in _FILES if name in names]
  for c in (*known, *range(len(names))):
    files = c in known or any(map(_is_file, columns[c]))
    if files and any(map(images.has, columns[c])):
      yield c
  for c, cells in enumerate(columns):
    distinct = names[c] and len(set(cells)) == len(cells)
    if distinct and all(map(images.has, cells)):
      yield c


def _unnamed(
  others: list[int], names: list[str], columns: list[tuple[str, ...]]
) -> list[int]:
  """Returns the columns of labels among those of no known name: the only one,
  or all if they are a class each.
  """
  labels = [c for c in others if any(map(str.strip, columns[c]))]
  if len(labels) > 1:
    labels = [c for c in labels if not _counts(names[c], columns[c])]
  if len(labels) < 2:
    return labels
  cells = {cell for c in labels for cell in columns[c]}
  return labels if {*map(number_of, cells)} <= {0, 1} else []


def _is_file(cell: str) -> bool:
  return cell.strip().lower().endswith(SUFFIXES)


def _is_split(name: str, cells: Collection[str]) -> bool:
  """Returns whether a column says splits: by its name, or without names by its
  cells.
  """
  return name in ("", *_SPLITS) and all(map(split_of, cells))


def _is_count(cells: Collection[str]) -> bool:
  """Returns whether the cells are 0, 1, ... or 1, 2, ... in this order."""
  numbers, count = [number_of(cell) for cell in cells], len(cells)
  return numbers in ([*range(count)], [*range(1, count + 1)])


def _counts(name: str, cells: Collection[str]) -> bool:
  """Returns whether a column numbers the rows."""
  numbered = all(map(str.isdecimal, cells)) and len(set(cells)) == len(cells)
  return name in _COUNTERS and numbered


def _best(
  labels: list[int],
  columns: list[tuple[str, ...]],
  num_classes: int,
  class_names: Collection[str],
) -> int:
  """Returns which of several columns of labels is taken: names if they are the
  teacher's, and otherwise the number of each name, if that is one of a class.
  """
  first = labels[0]
  for c in labels:
    names = set(columns[c])
    if class_names and len(same_classes(names, class_names)) == len(names):
      return c
  if number_of(columns[first][0]) is not None:
    return first
  for c in labels[1:]:
    numbers = [number_of(cell) for cell in columns[c]]
    pairs = set(zip(columns[first], numbers, strict=True))
    if None in numbers or not (
      len(pairs) == len(set(columns[first])) == len(set(numbers))
    ):
      continue
    count = num_classes or len(set(numbers))
    if max(numbers) < count or (min(numbers), max(numbers)) == (1, count):
      return c
  return first
