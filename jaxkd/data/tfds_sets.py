"""Loads any image classification set that TFDS has prepared as array_record.

Its images are converted to the inputs of the teacher, as those of a user's own
data are, and kept in the cache.
"""

from collections import Counter
from collections.abc import Iterator
import hashlib
from pathlib import Path

import numpy as np

from jaxkd.data import pictures
from jaxkd.data.array_cache import cached, fingerprint
from jaxkd.data.class_order import in_order_of_teacher, same_classes
from jaxkd.data.pixels import Background, fit_array
from jaxkd.data.registry import DATASETS, Arrays, Dataset, DatasetSummary
from jaxkd.data.shapes import (
  Shape,
  check_shapes,
  common_shape,
  opaque,
)
from jaxkd.data.tfds_info import HELD_OUT, Part, PreparedSet, damaged, read_info
from jaxkd.runtime.formatting import first_three
from jaxkd.types import DataSpec, JaxkdError

_READ_BATCH_SIZE = 1000  # examples
_LOOKED_AT = 100  # examples of a part, if the set doesn't state the size


def describe_set(
  folder: Path,
  teacher: DataSpec | None,
  image_size: int = 0,
  *,
  background: str = "",
  class_names: tuple[str, ...] = (),
) -> DatasetSummary:
  """Returns the summary of a prepared set, and reads 200 images at most.

  Args:
    folder: of a version of the set.
    teacher: as `spec` of `jaxkd.data.user_data.load_path`.
    image_size: likewise.
    background: likewise.
    class_names: likewise.

  Raises:
    JaxkdError: if it is not in the format array_record, has no image with one
      label, does not fit the teacher, or, without `teacher` and `image_size`,
      if images have several sizes.
  """
  Background.named("--config.background", background)
  prepared = read_info(folder)
  spec = _spec(prepared, teacher, image_size)
  _order(prepared, spec, class_names)
  return DatasetSummary(spec, len(prepared.train.rows), len(prepared.test.rows))


def load_set(
  folder: Path,
  teacher: DataSpec | None,
  image_size: int = 0,
  *,
  background: str = "",
  class_names: tuple[str, ...] = (),
) -> Dataset:
  """Loads a prepared set with 8-bit pixels.

  Args:
    folder: as in `describe_set`.
    teacher: as in `describe_set`.
    image_size: as in `describe_set`.
    background: as in `describe_set`.
    class_names: as in `describe_set`.

  Raises:
    JaxkdError: as `describe_set`, and if an image can't be read, has no label,
      or is transparent and no background was named.
  """
  colour = Background.named("--config.background", background)
  prepared = read_info(folder)
  spec = _spec(prepared, teacher, image_size)
  order = _order(prepared, spec, class_names)
  counts: Counter[str] = Counter()

  def read() -> Arrays:
    return (
      *read_part(prepared, prepared.train, spec.shape, colour, counts),
      *read_part(prepared, prepared.test, spec.shape, colour, counts),
    )

  recipe = f"{spec.shape} {colour.color} {HELD_OUT} {fingerprint(folder)}"
  digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
  key = f"{prepared.spec_name}-{spec.shape[0]}-{digest}"
  train_images, train_labels, test_images, test_labels = cached(key, read)
  unlabelled = int(sum((x < 0).sum() for x in (train_labels, test_labels)))
  if unlabelled:
    raise JaxkdError(
      f"{prepared.name} has {unlabelled} images without a label; choose other "
      "data."
    )
  done = [f"{count} images {note}" for note, count in counts.items() if note]
  for note in (*prepared.notes, *done):
    print(f"{spec.name}: {note}.", flush=True)
  return Dataset(
    spec, train_images, order[train_labels], test_images, order[test_labels]
  )


def read_part(
  prepared: PreparedSet,
  part: Part,
  shape: Shape,
  background: Background,
  notes: Counter[str],
) -> tuple[np.ndarray, np.ndarray]:
  """Reads images, uint8 `[N, *shape]`, and labels, int32 `[N]`, -1 for none.

  Args:
    prepared: the set.
    part: of the set.
    shape: that images are converted to.
    background: on which transparent images are put.
    notes: counts what was done to the pixels of how many images.

  Raises:
    JaxkdError: as `load_set`.
  """
  images = np.empty((len(part.rows), *shape), np.uint8)
  labels = np.empty(len(part.rows), np.int32)
  for i, (name, image, label) in enumerate(_examples(prepared, part)):
    if isinstance(image, bytes):
      images[i], note = pictures.read(name, shape, background, image)
      notes[note] += 1
    else:
      images[i] = fit_array(image, shape, background, str(name))
    labels[i] = label
  return images, labels


def _examples(
  prepared: PreparedSet, part: Part
) -> Iterator[tuple[Path, bytes | np.ndarray, int]]:
  """Yields name, image and label of the examples of a part."""
  if not part.split:
    return
  source = prepared.examples(part.split)
  for start in range(0, len(part.rows), _READ_BATCH_SIZE):
    rows = part.rows[start : start + _READ_BATCH_SIZE]
    try:
      # Reading one by one takes array_record five times as long.
      read = source.__getitems__(rows)
    except Exception as error:  # TFDS and array_record raise many types
      raise damaged(prepared.folder, error) from error
    for row, example in zip(rows, read, strict=True):
      name = Path(f"{prepared.folder} ({part.split}, example {row})")
      yield name, example[prepared.image], int(example[prepared.label])


def _spec(
  prepared: PreparedSet, teacher: DataSpec | None, image_size: int
) -> DataSpec:
  """Returns the spec of the converted images."""
  *sides, channels = prepared.shape
  if teacher is not None:
    check_shapes(prepared.folder, [prepared.shape], teacher)
    return teacher._replace(name=prepared.spec_name)
  shapes = {prepared.shape}
  if not all(sides) and not image_size:
    shapes = _looked_up(prepared) or {(0, 0, channels)}
  height, width, channels = common_shape(
    prepared.name, opaque(shapes), image_size
  )
  if prepared.name in DATASETS:
    known = DATASETS[prepared.name].spec
    return known._replace(shape=(height, width, channels))
  half = (0.5,) * channels
  shape = (height, width, channels)
  return DataSpec(prepared.spec_name, shape, len(prepared.classes), half, half)


def _looked_up(prepared: PreparedSet) -> set[Shape]:
  """Returns the shapes of some images, with the channels of the set."""
  shapes = set()
  for part in (prepared.train, prepared.test):
    some = part._replace(rows=part.rows[:_LOOKED_AT])
    for name, image, _ in _examples(prepared, some):
      sides = pictures.shape_of(name, image)[:2]
      shapes.add((*sides, prepared.shape[-1]))
  return shapes


def _order(
  prepared: PreparedSet, spec: DataSpec, class_names: tuple[str, ...]
) -> np.ndarray:
  """Returns the teacher's number of each class of the set, int32 `[K]`."""
  names = in_order_of_teacher(
    prepared.folder, prepared.classes, class_names, spec.num_classes
  )
  if len(names) != spec.num_classes:
    raise JaxkdError(
      f"{prepared.name} has {len(names)} classes "
      f"({first_three(prepared.classes)}), the teacher has "
      f"{spec.num_classes}; choose other data, or --config.dataset=none."
    )
  place = {name: number for number, name in enumerate(names)}
  same = same_classes(prepared.classes, names)
  return np.array([place[same[name]] for name in prepared.classes], np.int32)
