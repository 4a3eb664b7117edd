"""Folders with a folder of images for each class, with or without splits."""

from collections import Counter
from collections.abc import Collection, Iterator
import contextlib
from pathlib import Path
import re
from typing import NamedTuple

import numpy as np

from jaxkd.data import split_folders
from jaxkd.data.class_order import in_order_of_teacher, same_classes
from jaxkd.data.pictures import is_image_file, is_special
from jaxkd.data.split_folders import readable, walk
from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError

# Files that systems put into folders, in lower case; hidden ones apart.
_SYSTEM_FILES = ("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r")
# Google Drive divides a folder into archives of such names.
_DRIVE = re.compile(r".*-\d{8}T\d{6}Z(-\d+)+")
# Files beside the folders that may hold images or labels of the same data.
_DATA_FILES = (
  ".7z", ".arrow", ".array_record", ".bin", ".csv", ".gz", ".h5", ".hdf5",
  ".lmdb", ".mat", ".npy", ".npz", ".ods", ".parquet", ".pkl", ".pt", ".rar",
  ".rec", ".tar", ".tfrecord", ".tfrecords", ".tgz", ".tsv", ".xls", ".xlsx",
  ".zip",
)  # fmt: skip


class Part(NamedTuple):
  """The image files of one split, before they are read.

  Attributes:
    files: paths of the images.
    labels: `[N]` int32.
  """

  files: list[Path]
  labels: np.ndarray


class Folders(NamedTuple):
  """A data set in folders, before images are read.

  Attributes:
    train: the train split, possibly empty.
    test: the test split, possibly empty.
    classes: names of the classes in order.
    notes: what a person should know about how the folders were read.
  """

  train: Part
  test: Part
  classes: tuple[str, ...]
  notes: tuple[str, ...] = ()


def read(
  folder: Path, num_classes: int = 0, class_names: tuple[str, ...] = ()
) -> Folders:
  """Finds the images of a folder, by split and class.

  Classes are in the order of their folders' names, as in torchvision, unless
  the folders are named as the teacher's classes, or are numbers and fewer than
  these. Images may lie in folders below that of their class. A class may be
  empty.

  Args:
    folder: with class folders, or with folders of splits that hold these.
    num_classes: of the teacher; 0 if it is not known.
    class_names: of the teacher in order; empty if they are not known.

  Raises:
    JaxkdError: if there are no images, if splits have other classes, or if a
      folder can't be read.
  """
  with _naming_unreadable():
    notes: list[str] = []
    folder = split_folders.inner(folder, notes)
    train, test = split_folders.splits(folder, notes)
    parts = [
      {readable(c.name): [c] for c in split_folders.classes(part, notes)}
      if part
      else {}
      for part in (train, test)
    ]
    # Systems write the names of a class in two splits differently.
    parts[1] = _merged(parts[1], parts[0])
    if len(parts[1]) > 1 and all(map(split_folders.is_only_split, parts[1])):
      raise JaxkdError(
        f"{folder}: {first_three(parts[1])} have images without classes; put "
        "them into a folder for each class, or add a table such as train.csv "
        "with columns file and label."
      )
    if parts[1] and all(map(_DRIVE.fullmatch, parts[1])):
      raise JaxkdError(
        f"{folder}: {first_three(parts[1])} are parts of one download; merge "
        "the folders that are in them."
      )
    names = _classes(folder, train, test, parts, num_classes)
    names = in_order_of_teacher(folder, names, class_names, num_classes)
    parts = [_merged(part, names) for part in parts]
    if all(map(str.isdecimal, names)) and names != tuple(
      sorted(names, key=int)
    ):
      notes.append(
        "classes are in the order of their names, as in torchvision: 10 comes "
        "before 2"
      )
    beside = [
      readable(path.name)
      for path in sorted(folder.iterdir())
      # As in `train.tfrecord-00000-of-00004`.
      if not {s.partition("-")[0] for s in path.suffixes}.isdisjoint(
        _DATA_FILES
      )
      and path.is_file()
      and not path.name.startswith(".")
    ]
    if beside:
      notes.append(f"{first_three(beside)} is left out, the folders are used")
    skipped: Counter[str] = Counter()
    read = [_read_part(part, names, skipped) for part in parts]
    if num_classes and len(names) > num_classes:
      # Folders of documents and the like, if the teacher has no such class.
      filled = {label for part in read for label in part.labels.tolist()}
      if len(filled) == num_classes:
        others = [n for k, n in enumerate(names) if k not in filled]
        notes.append(f"{first_three(others)} has no images and is no class")
        names = tuple(n for k, n in enumerate(names) if k in filled)
        skipped.clear()
        read = [_read_part(part, names, skipped) for part in parts]
    if not any(part.files for part in read):
      raise JaxkdError(
        f"{folder} has neither a folder of images per class, such as "
        f"{folder.name}/cat/1.png, nor a table such as train.csv with columns "
        "file and label, nor IDX files."
        + (f" It has files of type {first_three(skipped)}." if skipped else "")
      )
    for part, each in zip((train, test), read, strict=True):
      if part and (empty := _empty(each, names)):
        notes.append(f"{part.name} has no images of {first_three(empty)}")
    if skipped:
      count = skipped.total()
      notes.append(f"{count} files of type {first_three(skipped)} are not read")
    return Folders(*read, names, tuple(notes))


@contextlib.contextmanager
def _naming_unreadable() -> Iterator[None]:
  """Turns an error of the system into one that names the folder."""
  try:
    yield
  except OSError as error:
    raise JaxkdError(
      f"{error.filename} can't be read ({error.strerror}); change its "
      "permissions, or move it out of the data."
    ) from error


def _merged(
  part: dict[str, list[Path]], names: Collection[str]
) -> dict[str, list[Path]]:
  """Returns the folders of a split by the names of the classes they are of."""
  same = same_classes(part, names)
  merged: dict[str, list[Path]] = {}
  for name, places in part.items():
    merged.setdefault(same.get(name, name), []).extend(places)
  return merged


def _classes(
  folder: Path,
  train: Path | None,
  test: Path | None,
  parts: list[dict[str, list[Path]]],
  num_classes: int,
) -> tuple[str, ...]:
  """Returns the names of all classes, and refuses one that is in the test split
  only, unless the teacher has as many classes.
  """
  trained, tested = map(set, parts)
  names = tuple(sorted(trained | tested))
  if train and tested - trained and len(names) != num_classes:
    raise JaxkdError(
      f"{folder}: {', '.join(sorted(trained ^ tested))} is a class in "
      f"{train.name} or {test.name} only; both need the same folders."
    )
  return names


def _read_part(
  folders: dict[str, list[Path]],
  names: tuple[str, ...],
  skipped: Counter[str],
) -> Part:
  files, labels = [], []
  for label, name in enumerate(names):
    for folder in folders.get(name, ()):
      images = sorted(_image_files(folder, skipped))
      files += images
      labels += [label] * len(images)
  return Part(files, np.array(labels, np.int32))


def _image_files(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
  """Yields the images in a folder and those below it, and counts other files by
  type. A pipe that is named as an image is none.
  """

  def refuse(error: OSError) -> None:
    raise error

  for path in walk(folder, refuse):
    if is_image_file(path) and not is_special(path):
      yield path
    elif not path.name.startswith(".") and (
      path.name.lower() not in _SYSTEM_FILES
    ):
      skipped[path.suffix or path.name] += 1


def _empty(part: Part, names: tuple[str, ...]) -> list[str]:
  present = set(part.labels.tolist())
  return [name for index, name in enumerate(names) if index not in present]
