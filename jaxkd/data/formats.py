"""Reads a user's data: image folders, also with tables, .npz and IDX files.

`read` reads labels, and the headers of arrays. Pixels are read from what it
returns, when they are needed.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data import class_folders, label_tables
from jaxkd.data.class_order import same_classes
from jaxkd.data.image_arrays import (
  ImageArray,
  idx_images,
  npz_images,
  open_npz,
)
from jaxkd.data.parsers import read_idx
from jaxkd.data.split_folders import TEST_SPLITS, TRAIN_SPLITS
from jaxkd.types import JaxkdError

# Names of the arrays of a split in an .npz, beside that of the split.
_PAIRS = (
  ("images", "labels"), ("x", "y"), ("image", "label"), ("data", "labels"),
  ("data", "targets"), ("data", "target"), ("inputs", "targets"),
)  # fmt: skip


class RawSplit(NamedTuple):
  """A split of a data set as it is stored, before images are read.

  Attributes:
    images: paths of image files, or an array in a file.
    labels: `[N]` integers.
  """

  images: list[Path] | ImageArray = []  # noqa: RUF012 (never written to)
  labels: np.ndarray = np.zeros(0, np.int32)


class RawDataset(NamedTuple):
  """A data set as it is stored, before images are read.

  Attributes:
    train: the train split, possibly empty.
    test: the test split, possibly empty.
    classes: names of the classes; empty where labels are numbers.
    notes: what a person should know about how it was read.
  """

  train: RawSplit
  test: RawSplit
  classes: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()


def read(
  path: Path, num_classes: int = 0, class_names: tuple[str, ...] = ()
) -> RawDataset:
  """Reads labels and headers of the data set at `path`, and no pixels.

  `jaxkd.data.user_data.load_path` describes the three formats.

  Args:
    path: of the folder or file.
    num_classes: of the teacher; 0 if it is not known.
    class_names: of the teacher in order; empty if they are not known.

  Raises:
    JaxkdError: if there is no such file or folder, or if a file in it is
      damaged or in another format; the message names the file.
  """
  if path.is_file() and path.suffix.lower() == ".npz":
    return _read_npz(path, class_names)
  if not path.is_dir():
    problem = "this is neither a folder nor an .npz file"
    if not path.exists():
      problem = "there is no such folder or .npz file"
    if path.is_file() and path.suffix.lower() in label_tables.TEXTS:
      raise JaxkdError(
        f"{path} is a file of text. Name the folder of the images, in which "
        f"tables of labels are read: {path.parent}"
      )
    raise JaxkdError(
      f"{path}: {problem}. Give a folder with one folder of images per class "
      "(unpack an archive), an .npz file, or a folder of IDX files."
    )
  if any(path.glob("*-images?idx3-ubyte*")):
    return _read_idx_files(path)
  folders = label_tables.read(path, num_classes, class_names)
  if folders is None:
    folders = class_folders.read(path, num_classes, class_names)
  return RawDataset(
    RawSplit(*folders.train),
    RawSplit(*folders.test),
    folders.classes,
    folders.notes,
  )


def _read_idx_files(folder: Path) -> RawDataset:
  def read_split(*names: str) -> RawSplit:
    for name in names:
      for images in sorted(folder.glob(f"*{name}-images?idx3-ubyte*")):
        stem = images.name.removesuffix(".gz")
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        for labels in (folder / stem, folder / f"{stem}.gz"):
          if labels.is_file():
            return _make_split(idx_images(images), read_idx(labels))
        raise JaxkdError(f"{folder} has no file {stem} or {stem}.gz; add it.")
    return RawSplit()

  return RawDataset(read_split(*TRAIN_SPLITS), read_split(*TEST_SPLITS))


def _read_npz(path: Path, class_names: tuple[str, ...]) -> RawDataset:
  classes: tuple[str, ...] = ()
  with open_npz(path) as file:
    arrays = {name.lower(): name for name in file.files}

    def find_split(*splits: str) -> tuple[str, np.ndarray] | None:
      patterns = ("{split}_{name}", "{name}_{split}")
      for split, pattern, pair in itertools.product(splits, patterns, _PAIRS):
        images, labels = (
          arrays.get(pattern.format(split=split, name=name).strip("_"))
          for name in pair
        )
        if images and labels:
          return images, file[labels]
      return None

    found = [find_split(*TRAIN_SPLITS), find_split(*TEST_SPLITS, "")]
    texts = [pair[1] for pair in found if pair and pair[1].dtype.kind in "US"]
    if texts:
      names = np.concatenate(texts).astype(np.str_)
      classes = class_names or tuple(np.unique(names).tolist())
    train, test = (
      _make_split(
        npz_images(path, file, pair[0]), _numbers(path, pair[1], classes)
      )
      if pair
      else RawSplit()
      for pair in found
    )
  if any(found) and not (len(train.labels) or len(test.labels)):
    raise JaxkdError(f"{path} holds no image; write some into its arrays.")
  if not any(found):
    raise JaxkdError(
      f"{path} holds {', '.join(arrays.values()) or 'nothing'}; it "
      "needs images and labels, or train_images, train_labels, test_images and "
      "test_labels."
    )
  return RawDataset(train, test, classes)


def _numbers(
  path: Path, labels: np.ndarray, classes: tuple[str, ...]
) -> np.ndarray:
  """Returns labels as numbers, if they are names of classes or rows of zeros
  with a one.
  """
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.dtype.kind in "US":
    index = {name: number for number, name in enumerate(classes)}
    names = labels.ravel().astype(np.str_).tolist()
    same = same_classes(set(names), classes)
    if unknown := sorted(set(names) - set(same)):
      raise JaxkdError(
        f"{path} has the label {unknown[0]!r}; the teacher's classes are "
        f"{', '.join(classes[:5])}{', ...' if classes[5:] else ''}."
      )
    return np.array([index[same[name]] for name in names]).reshape(labels.shape)
  if labels.dtype.kind == "b":
    return labels.astype(np.int64)
  if labels.dtype.kind in "iuf" and labels.ndim == 2 and labels.shape[1] > 1:
    ones, zeros = labels == 1, labels == 0
    if (ones | zeros).all() and (ones.sum(1) == 1).all():
      return labels.argmax(1)
  whole = labels.dtype.kind == "f" and (labels == np.round(labels)).all()
  return labels.astype(np.int64) if whole else labels


def _make_split(images: ImageArray, labels: np.ndarray) -> RawSplit:
  """Checks the labels of images."""
  if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
    raise JaxkdError(
      f"{images.path} has labels {labels.dtype} of shape {labels.shape}; "
      f"expected one integer for each of {images.shape[0]} images."
    )
  return RawSplit(images, labels.astype(np.int64))
