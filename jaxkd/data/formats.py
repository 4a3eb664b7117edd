"""The forms that people's own data come in: folders, `.npz`, IDX files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data.parsers import read_idx
from jaxkd.types import JaxkdError

SUFFIXES = (
  ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
  ".webp",
)  # fmt: skip
TEST_SPLITS = (
  "test",
  "t10k",
  "val",
)  # names of the part to judge on, best first
CHANNELS = (1, 3)  # grey and colour


class RawSplit(NamedTuple):
  """Images as they were found, and their classes.

  Attributes:
    images: files, or an array `[N, H, W, C]` uint8.
    labels: `[N]` integers.
  """

  images: list[Path] | np.ndarray = []  # noqa: RUF012 (never written to)
  labels: np.ndarray = np.zeros(0, np.int32)


class RawDataset(NamedTuple):
  """Attributes:

  train: to train on.
  test: to judge on.
  classes: names, where there are folders; empty elsewhere.
  """

  train: RawSplit
  test: RawSplit
  classes: tuple[str, ...] = ()


def find(place: Path) -> RawDataset:
  """What is at `place`, in one of the forms of
  `jaxkd.data.user_data.load_path`.

  Raises:
    JaxkdError: if nothing is, or it can't be, naming the file.
  """
  if place.is_file() and place.suffix == ".npz":
    return _read_npz(place)
  if not place.is_dir():
    raise JaxkdError(
      f"{place}: there is no such folder or .npz file. Give a folder with one "
      "folder of images per class, an .npz, or a folder of IDX files."
    )
  if any(place.glob("*-images?idx3-ubyte*")):
    return _read_idx_files(place)
  return _read_folders(place)


def _read_folders(folder: Path) -> RawDataset:
  inner = {child.name: child for child in _folders(folder)}
  parts = {name: child for name, child in inner.items() if _folders(child)}
  held_out = next((parts[name] for name in TEST_SPLITS if name in parts), None)
  train = parts.get("train")
  if train is None and held_out is None:
    return RawDataset(RawSplit(), _read_classes(folder), tuple(inner))
  classes = [
    {child.name for child in _folders(part)}
    for part in (train, held_out)
    if part
  ]
  if classes[0] != classes[-1]:
    raise JaxkdError(
      f"{folder}: {', '.join(sorted(classes[0] ^ classes[-1]))} is a class in "
      f"{train.name} or {held_out.name} alone; both need the same folders."
    )
  return RawDataset(
    _read_classes(train) if train else RawSplit(),
    _read_classes(held_out) if held_out else RawSplit(),
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
    inside = sorted(
      file
      for file in child.iterdir()
      if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not inside:
      raise JaxkdError(
        f"{child} has no images ({', '.join(SUFFIXES)}); fill the folder, or "
        "delete it."
      )
    files += inside
    labels += [label] * len(inside)
  if not files:
    raise JaxkdError(
      f"{folder} is no folder of images per class, such as {folder.name}/cat/"
      "1.png; nor are there IDX files in it."
    )
  return RawSplit(files, np.array(labels, np.int32))


def _read_idx_files(folder: Path) -> RawDataset:
  def part(*names: str) -> RawSplit:
    for name in names:
      for images in sorted(folder.glob(f"{name}-images?idx3-ubyte*")):
        stem = images.name.removesuffix(".gz")
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        for labels in (folder / stem, folder / f"{stem}.gz"):
          if labels.is_file():
            return _part(read_idx(images), read_idx(labels), images)
        raise JaxkdError(f"{folder} has no file {stem} or {stem}.gz.")
    return RawSplit()

  return RawDataset(part("train"), part(*TEST_SPLITS))


def _read_npz(path: Path) -> RawDataset:
  try:
    # numpy would leave a file open that is no archive.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
      names = file.files
      wanted = [name for name in names if name.endswith(("images", "labels"))]
      arrays = {name: file[name] for name in wanted}
  except Exception as error:  # zipfile, zlib and numpy have their own types
    raise JaxkdError(
      f"{path} is damaged, or holds more than plain arrays "
      f"({type(error).__name__}: {error}); write it with np.savez."
    ) from error

  def part(*prefixes: str) -> RawSplit:
    for prefix in prefixes:
      pair = arrays.get(f"{prefix}images"), arrays.get(f"{prefix}labels")
      if all(array is not None for array in pair):
        return _part(*pair, path)
    return RawSplit()

  found = RawDataset(part("train_"), part(*(f"{n}_" for n in TEST_SPLITS), ""))
  if not (len(found.train.labels) or len(found.test.labels)):
    raise JaxkdError(
      f"{path} holds {', '.join(names) or 'nothing'}; it "
      "needs images and labels, or train_images, train_labels, test_images and "
      "test_labels."
    )
  return found


def _part(images: np.ndarray, labels: np.ndarray, path: Path) -> RawSplit:
  """Arrays as they were read, checked."""
  if images.ndim == 3:
    images = images[..., None]
  if images.ndim != 4 or 0 in images.shape[1:]:
    raise JaxkdError(
      f"{path} has images of shape {images.shape}; expected [N, H, W] or "
      "[N, H, W, C]."
    )
  if images.shape[1] in CHANNELS and images.shape[-1] not in CHANNELS:
    raise JaxkdError(
      f"{path} has images of shape {images.shape}, channels first; store "
      "images.transpose(0, 2, 3, 1)."
    )
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
    raise JaxkdError(
      f"{path} has labels {labels.dtype} of shape {labels.shape}; expected one "
      f"integer for each of {len(images)} images."
    )
  return RawSplit(_eight_bit(images, path), labels.astype(np.int64))


def _eight_bit(images: np.ndarray, path: Path) -> np.ndarray:
  if images.dtype == np.uint8:
    return images
  if images.dtype.kind != "f":
    raise JaxkdError(
      f"{path} has {images.dtype} pixels; expected uint8, or floats in [0, 1]."
    )
  low, high = images.min(initial=0), images.max(initial=0)
  if not 0 <= low <= high <= 1:  # neither is a NaN
    raise JaxkdError(
      f"{path} has pixels from {low:g} to {high:g}; expected [0, 1]: divide by "
      "255, or undo a normalisation, which belongs to the teacher."
    )
  return np.round(images * 255).astype(np.uint8)
