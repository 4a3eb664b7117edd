"""Reads the official archive of Tiny-ImageNet, packed or unpacked."""

from collections.abc import Callable, Iterator
import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple
import zipfile
import zlib

from jaxkd.data import pictures
from jaxkd.data.labelled_files import LabelledFiles, labelled
from jaxkd.data.pixels import Background, to_png
from jaxkd.types import JaxkdError

_STEM = "tiny-imagenet-200"  # of the archive and of the folder in it
_NUM_CLASSES = 200
_SHAPE = (64, 64, 3)


class _Tree(NamedTuple):
  """The files of the archive, by names relative to its folder."""

  source: Path
  names: list[str]
  read: Callable[[str], bytes]

  def lines(self, name: str) -> list[str]:
    """Returns the lines of a text file that are not empty."""
    if name not in self.names:
      raise JaxkdError(f"{self.source} has no file {name}; add it.")
    text = self.read(name).decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]

  def images(self, folder: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yields names of images in a folder, and their paths in it."""
    for name in self.names:
      path = PurePosixPath(name)
      if path.parts[0] == folder and pictures.is_image_file(Path(name)):
        yield name, path.relative_to(folder)


@contextlib.contextmanager
def open_tiny_imagenet(folder: Path) -> Iterator[LabelledFiles]:
  """Opens Tiny-ImageNet, whose validation images become the test split.

  The images of `test` have no labels. Labels are in the order of the classes'
  WordNet numbers, as torchvision's ImageFolder has them, and not in that of
  `wnids.txt`.

  Args:
    folder: the unpacked archive, or a folder with it or with the archive. In it
      are `wnids.txt`, `train/n01443537/images/*.JPEG`, and `val/images/*.JPEG`
      with `val/val_annotations.txt`; in place of the last two there may be
      class folders in `val`.

  Raises:
    JaxkdError: if a file is missing, or an image has no class or another one.
  """
  with _open_tree(folder) as tree:
    classes = tuple(sorted(set(tree.lines("wnids.txt"))))
    if len(classes) != _NUM_CLASSES:
      raise JaxkdError(
        f"{tree.source}: wnids.txt names {len(classes)} classes; Tiny-ImageNet "
        f"has {_NUM_CLASSES}."
      )
    train = [(name, path.parts[0]) for name, path in tree.images("train")]
    yield LabelledFiles(
      classes,
      labelled(tree.source, "train", train, classes),
      labelled(tree.source, "val", _validation(tree), classes),
      lambda name: _as_rgb(tree.source / name, tree.read(name)),
    )


def _validation(tree: _Tree) -> list[tuple[str, str]]:
  """Returns names and classes of the validation images."""
  images = list(tree.images("val"))
  if not any(path.parts[0] == "images" for _, path in images):
    return [(name, path.parts[0]) for name, path in images]
  rows = (line.split() for line in tree.lines("val/val_annotations.txt"))
  classes = {row[0]: row[1] for row in rows if len(row) > 1}
  for name, path in images:
    if path.name not in classes:
      raise JaxkdError(
        f"{tree.source}: val_annotations.txt has no class of {name}; add it, "
        "or delete the image."
      )
  return [(name, classes[path.name]) for name, path in images]


@contextlib.contextmanager
def _open_tree(folder: Path) -> Iterator[_Tree]:
  """Finds the folder or the archive, and lists its files."""
  for root in (folder, folder / _STEM):
    if (root / "wnids.txt").is_file():
      names = [
        Path(parent, file).relative_to(root).as_posix()
        for parent, _, files in os.walk(root)
        for file in files
      ]
      read_file = lambda name, root=root: (root / name).read_bytes()
      yield _Tree(root, names, read_file)
      return
  path = folder / f"{_STEM}.zip"
  if not path.is_file():
    raise JaxkdError(
      f"{folder} has no file wnids.txt and no {path.name}; give the unpacked "
      "archive of Tiny-ImageNet, or a folder with the archive."
    )
  try:
    archive = zipfile.ZipFile(path)
  except (zipfile.BadZipFile, OSError) as error:
    raise _damaged(path, error) from error

  def read(name: str) -> bytes:
    try:
      return archive.read(start + name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
      raise _damaged(path, error) from error

  with archive:
    members = archive.namelist()
    index = next((n for n in members if n.endswith("wnids.txt")), "")
    start = index.removesuffix("wnids.txt")
    names = [
      name.removeprefix(start)
      for name in members
      if name.startswith(start) and not name.endswith("/")
    ]
    yield _Tree(path, names, read)


def _damaged(path: Path, error: Exception) -> JaxkdError:
  return JaxkdError(f"{path} is damaged ({error}); get it again.")


def _as_rgb(path: Path, content: bytes) -> bytes:
  """Returns a JPEG as it is, or another image as a PNG of the right shape.

  Every image is decoded, so that a damaged one is named here.
  """
  pixels, _ = pictures.read(path, _SHAPE, Background(), content)
  with pictures.open_image(path, content) as picture:
    kept = picture.format == "JPEG" and picture.mode == "RGB"
    if kept and picture.size == _SHAPE[:2]:
      return content
  return to_png(pixels)
