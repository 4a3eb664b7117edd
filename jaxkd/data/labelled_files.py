"""Image files with labels, out of which a data set is prepared."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from jaxkd.runtime.formatting import first_three
from jaxkd.types import JaxkdError


class LabelledFiles(NamedTuple):
  """Images of two splits, which are read when they are written.

  Attributes:
    classes: names of the classes in the order of the labels.
    train: name and label of each image to train on.
    test: likewise, to test on.
    read: returns the image of a name as the bytes of a PNG or JPEG.
  """

  classes: tuple[str, ...]
  train: list[tuple[str, int]]
  test: list[tuple[str, int]]
  read: Callable[[str], bytes]


def labelled(
  source: Path,
  split: str,
  images: Iterable[tuple[str, str]],
  classes: tuple[str, ...],
) -> list[tuple[str, int]]:
  """Returns names and labels of images, by the names of their classes.

  Args:
    source: of the images, for messages.
    split: likewise.
    images: name and class of each.
    classes: in the order of the labels.

  Raises:
    JaxkdError: for an image of another class, or a class without images.
  """
  index = {name: label for label, name in enumerate(classes)}
  pairs = sorted(images)
  others = sorted({name for _, name in pairs} - set(index))
  if others:
    raise JaxkdError(
      f"{source}: {split} has images of {first_three(others)}, none of the "
      f"{len(classes)} classes ({first_three(classes)})."
    )
  empty = sorted(set(index) - {name for _, name in pairs})
  if empty:
    raise JaxkdError(
      f"{source}: {split} has no images of {first_three(empty)}; add them."
    )
  return [(image, index[name]) for image, name in pairs]
