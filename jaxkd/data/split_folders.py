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


def inner(folder: Path) -> Path:
  """Returns the folder in a folder that an archive has put around it, also
  beside folders without images.
  """
  within, children = folder, _around_images(folder)
  while len(children) == 1:
    outer, within = within, children[0]
    if any(is_image_file(path) for path in within.iterdir()):
      return folder
    children = _around_images(within)
    names = {child.name.lower() for child in children}
    if within.name.lower() in TRAIN_SPLITS and not names & {*TRAIN_SPLITS}:
      return outer
  return within if children else folder


def _around_images(folder: Path) -> list[Path]:
  """Returns the folders in a folder, or that of the classes if no other has
  images, as `images` beside `annotations`.
  """
  children = folders(folder)
  around = [c for c in children if c.name.lower() in _AROUND_CLASSES]
  if len(around) == 1 and not any(
    is_image_file(path)
    for child in children
    if child != around[0]
    for path in walk(child)
  ):
    return around
  return children


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
    tests = labelled or tests
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
  names = (
    {plain(child.name) for child in folders(split)} for split in (train, test)
  )
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
