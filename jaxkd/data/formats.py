"""Reads a user's data in three formats: image folders, .npz and IDX files.

`read` reads labels, and the headers of arrays. Pixels are read from what it
returns, when they are needed.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.image_arrays import (
  ImageArray,
  idx_images,
  npz_images,
  open_npz,
)
from jaxkd.data.parsers import read_idx
from jaxkd.types import JaxkdError

IMAGE_SUFFIXES = (
  ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
  ".webp",
)  # fmt: skip
TEST_SPLITS = ("test", "t10k", "val")  # names of the test split, by priority


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
    classes: names of the class folders; empty for the other formats.
  """

  train: RawSplit
  test: RawSplit
  classes: tuple[str, ...] = ()


def read(path: Path) -> RawDataset:
  """Reads labels and headers of the data set at `path`, and no pixels.

  `jaxkd.data.user_data.load_path` describes the three formats.

  Raises:
    JaxkdError: if there is no such file or folder, or if a file in it is
      damaged or in another format; the message names the file.
  """
  if path.is_file() and path.suffix == ".npz":
    return _read_npz(path)
  if not path.is_dir():
    raise JaxkdError(
      f"{path}: there is no such folder or .npz file. Give a folder with one "
      "folder of images per class, an .npz file, or a folder of IDX files."
    )
  if any(path.glob("*-images?idx3-ubyte*")):
    return _read_idx_files(path)
  return _read_folders(path)


def _read_folders(folder: Path) -> RawDataset:
  folders = {child.name: child for child in _folders(folder)}
  splits = {name: child for name, child in folders.items() if _folders(child)}
  test = next((splits[name] for name in TEST_SPLITS if name in splits), None)
  train = splits.get("train")
  if train is None and test is None:
    return RawDataset(RawSplit(), _read_classes(folder), tuple(folders))
  classes = [
    {child.name for child in _folders(split)}
    for split in (train, test)
    if split
  ]
  if classes[0] != classes[-1]:
    raise JaxkdError(
      f"{folder}: {', '.join(sorted(classes[0] ^ classes[-1]))} is a class in "
      f"{train.name} or {test.name} only; both need the same folders."
    )
  return RawDataset(
    _read_classes(train) if train else RawSplit(),
    _read_classes(test) if test else RawSplit(),
    tuple(sorted(classes[0])),
  )


def _folders(folder: Path) -> list[Path]:
  return sorted(
    child
    for child in folder.iterdir()
    if child.is_dir() and not child.name.startswith((".", "__"))
  )


def _read_classes(folder: Path) -> RawSplit:
  files, labels = [], []
  for label, child in enumerate(_folders(folder)):
    images = sorted(
      file
      for file in child.iterdir()
      if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )
    if not images:
      raise JaxkdError(
        f"{child} has no images ({', '.join(IMAGE_SUFFIXES)}); add some, or "
        "delete the folder."
      )
    files += images
    labels += [label] * len(images)
  if not files:
    raise JaxkdError(
      f"{folder} has neither a folder of images per class, such as "
      f"{folder.name}/cat/1.png, nor IDX files."
    )
  return RawSplit(files, np.array(labels, np.int32))


def _read_idx_files(folder: Path) -> RawDataset:
  def read_split(*names: str) -> RawSplit:
    for name in names:
      for images in sorted(folder.glob(f"{name}-images?idx3-ubyte*")):
        stem = images.name.removesuffix(".gz")
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        for labels in (folder / stem, folder / f"{stem}.gz"):
          if labels.is_file():
            return _make_split(idx_images(images), read_idx(labels))
        raise JaxkdError(f"{folder} has no file {stem} or {stem}.gz; add it.")
    return RawSplit()

  return RawDataset(read_split("train"), read_split(*TEST_SPLITS))


def _read_npz(path: Path) -> RawDataset:
  with open_npz(path) as file:
    names = file.files

    def find_split(*prefixes: str) -> RawSplit:
      for prefix in prefixes:
        images, labels = f"{prefix}images", f"{prefix}labels"
        if images in names and labels in names:
          return _make_split(npz_images(path, file, images), file[labels])
      return RawSplit()

    train = find_split("train_")
    test = find_split(*(f"{name}_" for name in TEST_SPLITS), "")
  if not (len(train.labels) or len(test.labels)):
    raise JaxkdError(
      f"{path} holds {', '.join(names) or 'nothing'}; it "
      "needs images and labels, or train_images, train_labels, test_images and "
      "test_labels."
    )
  return RawDataset(train, test)


def _make_split(images: ImageArray, labels: np.ndarray) -> RawSplit:
  """Checks the labels of images."""
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
    raise JaxkdError(
      f"{images.path} has labels {labels.dtype} of shape {labels.shape}; "
      f"expected one integer for each of {images.shape[0]} images."
    )
  return RawSplit(images, labels.astype(np.int64))
