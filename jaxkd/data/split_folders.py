"""Folders on a disk: which are classes and splits, and what lies below them."""

from collections.abc import Callable, Iterator
import os
from pathlib import Path

from jaxkd.data.class_order import plain
from jaxkd.data.pictures import is_image_file

TRAIN_SPLITS = ("train", "training")
# Names of the part that is held out, by priority.
TEST_SPLITS = (
  "test", "testing", "t10k", "val", "valid", "validation", "eval", "dev",
)  # fmt: skip
# Folders that systems make, in lower case; hidden ones apart.
_SYSTEM_FOLDERS = (
  "lost+found", "$recycle.bin", "recycler", "system volume information",
  "#recycle", "@eadir", "desktop.ini",
)  # fmt: skip
# Folders that hold nothing but the classes of a split.
_AROUND_CLASSES = ("images", "image", "imgs", "img", "data", "classes")


def folders(folder: Path) -> list[Path]:
  """Returns the folders in a folder but for those of the system, by name."""
  return sorted(
    child
    for child in folder.iterdir()
    if not child.name.startswith((".", "__"))
    and child.name.lower() not in _SYSTEM_FOLDERS
    and child.is_dir()
  )


def walk(
  folder: Path, onerror: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
  """Yields the files below a folder but for those in hidden folders.

  Links to folders are followed, but for those to a folder that the walk has
  been in, or that this one is in.

  Args:
    folder: where it begins.
    onerror: is told of a folder that can't be read.
  """
  start = folder.resolve()
  seen = {start, *start.parents}

  def is_new(parent: str, name: str) -> bool:
    if name.startswith((".", "__")):
      return False
    place = Path(parent, name).resolve()
    new = place not in seen
    seen.add(place)
    return new

  for parent, below, files in os.walk(
    folder, onerror=onerror, followlinks=True
  ):
    below[:] = [name for name in below if is_new(parent, name)]
    for name in files:
      yield Path(parent, name)


def readable(name: str) -> str:
  r"""Returns a name that can be printed, of a file whose name is no UTF-8.

  >>> readable("caf\udce9")
  'café'
  """
  try:
    name.encode()
  except UnicodeEncodeError:  # as Windows writes names
    return os.fsencode(name).decode("cp1252", errors="replace")
  return name


def split_of(name: str) -> str:
  """Returns which split a file or folder is of by its name, or nothing.

  >>> split_of("seg_train"), split_of("02-val"), split_of("cat")
  ('train', 'test', '')
  """
  words = name.lower().replace("-", "_").replace(" ", "_").split("_")
  for split, known in (("train", TRAIN_SPLITS), ("test", TEST_SPLITS)):
    if any(word in known or word == f"{split}labels" for word in words):
      return split
  return ""


def inner(folder: Path, notes: list[str]) -> Path:
  """Returns the folder in a folder that an archive has put around it, also
  beside folders without images.

  Args:
    folder: of the data.
    notes: gets a line about a folder beside it that is not used.
  """
  within, children = folder, _around_images(folder, notes)
  while len(children) == 1:
    outer, within = within, children[0]
    if any(is_image_file(path) for path in within.iterdir()):
      return folder
    children = _around_images(within, notes)
    names = {child.name.lower() for child in children}
    if within.name.lower() in TRAIN_SPLITS and not names & {*TRAIN_SPLITS}:
      return outer
  return within if children else folder


def _around_images(folder: Path, notes: list[str]) -> list[Path]:
  """Returns the folders in a folder, or that of the classes alone, as `images`
  beside `annotations` without images, or beside `masks` with the same folders.
  """
  children = folders(folder)
  around = [c for c in children if c.name.lower() in _AROUND_CLASSES]
  if len(around) != 1 or len(children) == 1:
    return children
  others = [child for child in children if child != around[0]]
  names = _names_in(around[0])
  masks = [c for c in others if len(names) > 1 and _names_in(c) == names]
  if any(
    is_image_file(path)
    for child in others
    if child not in masks
    for path in walk(child)
  ):
    return children
  notes += [f"{c.name} is left out, {around[0].name} is used" for c in masks]
  return around


def classes(folder: Path, notes: list[str]) -> list[Path]:
  """Returns the folders of classes in a folder, without one that an archive has
  put there as a copy of all of them: `cells/cells` in `cells`.

  Args:
    folder: of a split, or of all images.
    notes: gets a line about a copy.
  """
  children = folders(folder)
  others = [child for child in children if child.name != folder.name]
  if 0 < len(others) < len(children) and _names_in(folder) - {folder.name} <= (
    _names_in(folder / folder.name)
  ):
    notes.append(f"{folder.name} has the same folders and is left out")
    return others
  return children


def _names_in(folder: Path) -> set[str]:
  return {child.name for child in folders(folder)}


def is_only_split(name: str) -> bool:
  """Returns whether a folder's name says a split and nothing else.

  >>> is_only_split("test_images"), is_only_split("train 1")
  (True, False)
  """
  words = name.lower().replace("-", "_").replace(" ", "_").split("_")
  known = (*TRAIN_SPLITS, *TEST_SPLITS, *_AROUND_CLASSES, "set")
  return bool(split_of(name)) and all(word in known for word in words)


def splits(folder: Path, notes: list[str]) -> tuple[Path | None, Path | None]:
  """Returns the folders of the train and the test split.

  Without folders of splits the folder itself is the test split.

  Args:
    folder: of the data.
    notes: gets a line about a split that is not used.
  """
  below = folders(folder)
  parts = {c.name.lower(): c for c in below if folders(c)}
  train = next((parts[n] for n in TRAIN_SPLITS if n in parts), None)
  tests = [parts[name] for name in TEST_SPLITS if name in parts]
  if train is None and not tests:
    train, tests = _by_words(list(parts.values()))
  if train is None and not tests:
    return None, folder
  notes += [
    f"{child.name} has images without classes and is left out"
    for child in below
    if child.name.lower() in (*TRAIN_SPLITS, *TEST_SPLITS)
    and child.name.lower() not in parts
    and any(map(is_image_file, child.iterdir()))
  ]
  if train is not None:
    train = _classes_in(train)
  tests = [_classes_in(test) for test in tests]
  if train is not None:
    # A test split without labels has folders of other names.
    labelled = [test for test in tests if _share_a_class(train, test)]
    if labelled:
      notes += [
        f"{test.name} has other folders than {train.name} and is left out"
        for test in tests
        if test not in labelled
      ]
      tests = labelled
  for other in tests[1:]:
    notes.append(f"{other.name} is left out, {tests[0].name} is used")
  return train, tests[0] if tests else None


def _by_words(parts: list[Path]) -> tuple[Path | None, list[Path]]:
  """Returns splits of names such as `train_set`, if they have classes in
  common; other folders of such names are classes.
  """
  trains = [part for part in parts if split_of(part.name) == "train"]
  tests = [part for part in parts if split_of(part.name) == "test"]
  if len(trains) != 1 or not tests:
    return None, []
  train = trains[0]
  shared = [t for t in tests if _share_a_class(*map(_classes_in, (train, t)))]
  return (train, shared) if shared else (None, [])


def _share_a_class(train: Path, test: Path) -> bool:
  names = ({*map(plain, _names_in(split))} for split in (train, test))
  return bool(set.intersection(*names))


def _classes_in(split: Path) -> Path:
  """Returns the folder of a split that has the folders of its classes."""
  children = folders(split)
  while len(children) == 1 and folders(children[0]):
    if children[0].name.lower() not in (*_AROUND_CLASSES, split.name.lower()):
      break
    split = children[0]
    children = folders(split)
  return split
