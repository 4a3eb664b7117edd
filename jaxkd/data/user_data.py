"""Loads a user's data and converts it to the inputs of the teacher."""

from collections import Counter
from pathlib import Path

import numpy as np

from jaxkd.data import formats, pictures
from jaxkd.data.formats import RawDataset
from jaxkd.data.image_arrays import ImageArray
from jaxkd.data.pixels import Background, fit_array
from jaxkd.data.registry import Dataset, DatasetSummary
from jaxkd.data.shapes import (
  Shape,
  check_shapes,
  common_shape,
  opaque,
  sizes,
)
from jaxkd.data.split_folders import readable
from jaxkd.runtime.formatting import first_three
from jaxkd.types import DataSpec, JaxkdError


def load_path(
  path: str,
  spec: DataSpec | None,
  image_size: int = 0,
  *,
  background: str = "",
  class_names: tuple[str, ...] = (),
) -> Dataset:
  """Loads the data set in a folder or file, with 8-bit pixels.

  There are four formats:
    - A folder of images per class, in the order of their names (`10` comes
      before `2`, as in torchvision), or folders of these for splits, such as
      `train` and `test`; see `jaxkd.data.class_folders`.
    - A folder of images with tables of their labels, such as `train.csv`; see
      `jaxkd.data.label_tables`.
    - An `.npz` with `images [N, H, W(, C)]`, uint8 or floats in [0, 1], and
      `labels [N]`; or with `train_images`, `train_labels`, `test_images`, ...
    - A folder of IDX files named as MNIST's, `t10k-images-idx3-ubyte.gz` and so
      on.
  Data without splits is the test split, so that nothing is trained on it.

  Args:
    path: path of the folder or file.
    spec: the inputs of the teacher, to whose size and colours all images are
      converted. None takes size, colours and classes from the data, and a mean
      and std of 0.5.
    image_size: side of the square images in pixels, 0 for their own size;
      ignored if there is a `spec`.
    background: colour on which transparent images are put; empty for none.
    class_names: names of the teacher's classes, if they are known.

  Raises:
    JaxkdError: if a file cannot be read, if classes or labels are not the
      teacher's, if there is one class only, if images are transparent and no
      background was named, or if, without `spec` and `image_size`, images have
      several sizes.
  """
  colour = Background.named("--config.background", background)
  raw, spec, shapes = _read_headers(path, spec, image_size, class_names)
  shape = spec.shape
  notes = [*raw.notes]
  if others := sorted(shapes - {shape}):
    notes.append(
      f"images of {sizes(others)} pixels are converted to {sizes([shape])}"
    )
  counts: Counter[str] = Counter()
  train, test = (
    _to_shape(split.images, shape, colour, counts)
    for split in (raw.train, raw.test)
  )
  notes += [f"{count} images {note}" for note, count in counts.items() if note]
  for note in notes:
    print(f"{spec.name}: {note}.", flush=True)
  return Dataset(
    spec,
    train,
    raw.train.labels.astype(np.int32),
    test,
    raw.test.labels.astype(np.int32),
  )


def describe_path(
  path: str,
  spec: DataSpec | None,
  image_size: int = 0,
  *,
  background: str = "",
  class_names: tuple[str, ...] = (),
) -> DatasetSummary:
  """Returns the summary of what `load_path` loads, and reads no pixels.

  It reads labels, and the size and colours in the header of every image or
  array. That images can be decoded, and the range of their pixels, is checked
  by `load_path` alone.

  Args:
    path: as in `load_path`.
    spec: as in `load_path`.
    image_size: as in `load_path`.
    background: as in `load_path`.
    class_names: as in `load_path`.

  Raises:
    JaxkdError: as `load_path`, but for what only pixels show.
  """
  Background.named("--config.background", background)
  raw, spec, _ = _read_headers(path, spec, image_size, class_names)
  return DatasetSummary(spec, len(raw.train.labels), len(raw.test.labels))


def _read_headers(
  path: str,
  spec: DataSpec | None,
  image_size: int,
  class_names: tuple[str, ...],
) -> tuple[RawDataset, DataSpec, set[Shape]]:
  """Returns the data set without its pixels, its spec, and all shapes of its
  images.
  """
  source = Path(path).expanduser()
  resolved = source.resolve()
  name = _name_of(resolved.stem if source.is_file() else resolved.name)
  raw = formats.read(source, spec.num_classes if spec else 0, class_names)
  raw = _count_from_zero(raw, spec)
  labels = np.concatenate([raw.train.labels, raw.test.labels])
  num_classes = len(raw.classes) or int(labels.max()) + 1
  if spec is None and len(np.unique(labels)) < 2:
    notes = f" {'; '.join(raw.notes)}." if raw.notes else ""
    raise JaxkdError(
      f"{source} has {len(labels)} images of one class; give images of two or "
      "more, in a folder for each or with a table such as train.csv that has "
      f"columns file and label.{notes}"
    )
  shapes = _shapes(raw.train.images) | _shapes(raw.test.images)
  if spec is None:
    visible = opaque(shapes) if _are_files(raw) else shapes
    shape = common_shape(source, visible, image_size)
    half = (0.5,) * shape[-1]
    spec = DataSpec(name, shape, num_classes, half, half)
  _check_classes(source, raw, labels, spec)
  check_shapes(source, shapes, spec)
  return raw, spec._replace(name=name), shapes


def _name_of(file: str) -> str:
  """Returns the name of the data in a file or folder, which can be printed, and
  be a part of a file's name.
  """
  printable = "".join(
    c if c.isprintable() and c not in "/\\" else "_" for c in readable(file)
  )
  return f"user:{printable.encode()[:90].decode(errors='ignore')}"


def _count_from_zero(raw: RawDataset, spec: DataSpec | None) -> RawDataset:
  """Subtracts 1 from labels of 1 to K, if the teacher has K classes."""
  labels = np.concatenate([raw.train.labels, raw.test.labels])
  numbers = not raw.classes and spec is not None
  if not numbers or (labels.min(), labels.max()) != (1, spec.num_classes):
    return raw
  train, test = (
    split._replace(labels=split.labels - 1) for split in (raw.train, raw.test)
  )
  note = f"labels of 1 to {spec.num_classes} are counted from 0"
  return raw._replace(train=train, test=test, notes=(*raw.notes, note))


def _check_classes(
  source: Path, raw: RawDataset, labels: np.ndarray, spec: DataSpec
) -> None:
  if raw.classes and len(raw.classes) != spec.num_classes:
    raise JaxkdError(
      f"{source} has {len(raw.classes)} classes ({first_three(raw.classes)}), "
      f"the teacher has {spec.num_classes}; give a folder for each of them."
    )
  if labels.min() < 0 or labels.max() >= spec.num_classes:
    raise JaxkdError(
      f"{source} has labels {labels.min()} to {labels.max()}; expected 0 to "
      f"{spec.num_classes - 1}, for {spec.num_classes} classes."
    )


def _shapes(images: list[Path] | ImageArray) -> set[Shape]:
  if isinstance(images, ImageArray):
    return {images.shape[1:]} if images.shape[0] else set()
  return {pictures.shape_of(path) for path in images}


def _are_files(raw: RawDataset) -> bool:
  return not isinstance(raw.test.images or raw.train.images, ImageArray)


def _to_shape(
  images: list[Path] | ImageArray,
  shape: Shape,
  background: Background,
  notes: Counter[str],
) -> np.ndarray:
  """Reads images and converts them to uint8 `[N, *shape]`; counts what was done
  to their pixels.
  """
  if not isinstance(images, ImageArray):
    out = np.empty((len(images), *shape), np.uint8)
    for i, path in enumerate(images):
      out[i], note = pictures.read(path, shape, background)
      notes[note] += 1
    return out
  name = str(images.path)
  images, note = images.read()
  notes[note] += len(images)
  if images.shape[1:] == shape:
    return images
  out = np.empty((len(images), *shape), np.uint8)
  for i, image in enumerate(images):
    out[i] = fit_array(image, shape, background, name)
  return out
