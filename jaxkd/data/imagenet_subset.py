"""Reads the folders of a subset of ImageNet with twelve classes."""

from collections.abc import Iterator
import contextlib
import csv
from pathlib import Path

from jaxkd.data import pictures, split_folders
from jaxkd.data.labelled_files import LabelledFiles, labelled
from jaxkd.data.pixels import Background, to_png
from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError

_NUM_CLASSES = 12
_SHAPE = (64, 64, 3)
_SOLUTION = "LOC_val_solution.csv"  # labels of the validation images, by Kaggle
_INNER = Path("ILSVRC", "Data", "CLS-LOC")  # of Kaggle's archive


@contextlib.contextmanager
def open_imagenet12(
  folder: Path, class_list: Path | None = None
) -> Iterator[LabelledFiles]:
  """Opens twelve classes of ImageNet, at 64 pixels as in IDEAL (2023).

  IDEAL follows Li et al. ("Anti-Backdoor Learning", 2021), whose classes were
  published as an archive with a folder for each, and not as a list. The paper
  does not say how images that are no squares are resized; here they are cut to
  a square about their middle first.

  Args:
    folder: with `train/n01440764/*.JPEG` and `val/n01440764/*.JPEG`, or that of
      Kaggle, with the labels of the validation images in a table.
    class_list: a text file with the name of a class folder at the start of each
      line, in the order of the labels. None takes the folders that there are in
      `train`, by name; they must be twelve.

  Raises:
    JaxkdError: if there are other than twelve classes, or no images of one.
  """
  root = folder / _INNER if (folder / _INNER).is_dir() else folder
  train = _split_dir(root, split_folders.TRAIN_SPLITS)
  classes = _classes(train, class_list)
  tests = [*split_folders.TEST_SPLITS]
  solution = _solution(root)
  if solution is not None:
    tests = ["val"]
  test = _split_dir(root, tests)
  in_test = (
    _in_solution(test, solution, classes)
    if solution is not None and not (test / classes[0]).is_dir()
    else _in_folders(test, classes)
  )
  yield LabelledFiles(
    classes,
    labelled(root, train.name, _in_folders(train, classes), classes),
    labelled(root, test.name, in_test, classes),
    _resized,
  )


def _split_dir(root: Path, names: tuple[str, ...] | list[str]) -> Path:
  """Returns the first of some folders that exists and is not empty."""
  children = {child.name.lower(): child for child in root.iterdir()}
  for name in names:
    child = children.get(name)
    if child and child.is_dir() and any(child.iterdir()):
      return child
  raise JaxkdError(
    f"{root} has no folder {' or '.join(names[:3])}; it needs train and val, "
    "each with a folder of images per class."
  )


def _classes(train: Path, class_list: Path | None) -> tuple[str, ...]:
  """Returns the names of the class folders in the order of the labels."""
  present = {
    child.name
    for child in train.iterdir()
    if child.is_dir() and not child.name.startswith(".")
  }
  if class_list is None:
    if len(present) != _NUM_CLASSES:
      raise JaxkdError(
        f"{train} has {len(present)} class folders, and {_NUM_CLASSES} are "
        "taken; name a file with one folder's name in each line by --classes. "
        "IDEAL's are those of Li et al. (2021), published as an archive with "
        "their folders."
      )
    return tuple(sorted(present))
  try:
    lines = class_list.read_text("utf-8-sig").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise JaxkdError(
      f"--classes={class_list} can't be read ({error}); give a text file with "
      "the name of a class folder in each line."
    ) from error
  words = [line.replace(",", " ").split() for line in lines]
  names = tuple(dict.fromkeys(word[0] for word in words if word))
  if len(names) != _NUM_CLASSES or not present.issuperset(names):
    missing = [name for name in names if name not in present]
    reason = f", and {train} has no folder {first_three(missing)}"
    raise JaxkdError(
      f"--classes={class_list} names {len(names)} classes"
      f"{reason if missing else ''}; give the names of {_NUM_CLASSES} folders."
    )
  return names


def _in_folders(
  split: Path, classes: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
  """Yields paths and classes of the images in class folders."""
  for name in classes:
    for path in split.joinpath(name).rglob("*"):
      if pictures.is_image_file(path):
        yield str(path), name


def _solution(root: Path) -> Path | None:
  """Returns the table with the labels of validation images, if there is one."""
  paths = (folder / _SOLUTION for folder in (root, *root.resolve().parents[:3]))
  return next((path for path in paths if path.is_file()), None)


def _in_solution(
  split: Path, solution: Path, classes: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
  """Yields paths and classes of the images that a table labels."""
  with solution.open(encoding="utf-8-sig", newline="") as file:
    for row in csv.DictReader(file):
      name = (row.get("PredictionString") or "").split(" ")[0]
      if name in classes:
        yield str(split / f"{row['ImageId']}.JPEG"), name


def _resized(name: str) -> bytes:
  """Reads an image and returns it as the bytes of a PNG with 64 pixels."""
  return to_png(pictures.read_cut(Path(name), _SHAPE, Background()))
