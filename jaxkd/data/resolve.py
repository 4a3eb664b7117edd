"""Resolves the data of a run: a named set, a user's data, or none."""

import os
from pathlib import Path

from jaxkd.data import prepared, tfds_sets, user_data
from jaxkd.data.loading import count_images, load
from jaxkd.data.registry import (
  DATASETS,
  Dataset,
  DatasetSummary,
  spec as spec_of,
)
from jaxkd.types import DataSpec, JaxkdError

NONE = "none"


def find(
  name: str,
  *,
  image_size: int = 0,
  teacher: DataSpec | None = None,
  class_names: tuple[str, ...] = (),
  background: str = "",
) -> Dataset:
  """Loads the data of a run.

  Args:
    name: name of a data set in the registry; a path, see
      `jaxkd.data.user_data.load_path`; the name of a set that TFDS has
      prepared, as `imagenette/160px-v2`, or its folder; or `none`.
    image_size: as in `load`; 0 takes the teacher's, if it is known.
    teacher: spec of an external teacher, if it has one. Without data it
      describes the inputs.
    class_names: names of the teacher's classes, if they are known.
    background: colour on which transparent images are put; empty for none.

  Raises:
    JaxkdError: if there is no such data, or if it does not fit the teacher.
  """
  if name == NONE:
    if teacher is None:
      raise JaxkdError(
        "dataset=none: the shape of the inputs is not known. Give "
        "teacher.checkpoint a bundle of jaxkd.import_teacher, or have "
        "teacher.factory return a jaxkd.DataSpec as well."
      )
    return Dataset.without_images(teacher)
  if name in DATASETS:
    dataset = load(name, image_size=_size(image_size, teacher))
    _check(dataset.spec, teacher)
    return dataset
  folder = tfds_folder(name)
  return (tfds_sets.load_set if folder else user_data.load_path)(
    folder or name,
    teacher,
    image_size,
    background=background,
    class_names=class_names,
  )


def describe(
  name: str,
  *,
  image_size: int = 0,
  teacher: DataSpec | None = None,
  class_names: tuple[str, ...] = (),
  background: str = "",
) -> DatasetSummary:
  """Returns the summary of the data of a run, and reads no images.

  Of a user's data labels and headers are read, see
  `jaxkd.data.user_data.describe_path`, of a set that TFDS prepared a few
  examples, and of other sets nothing.

  Args:
    name: as in `find`.
    image_size: as in `find`.
    teacher: as in `find`.
    class_names: as in `find`.
    background: as in `find`.

  Raises:
    JaxkdError: if there is no such data, or if it does not fit the teacher.
  """
  if name == NONE:
    return summary_of(find(name, teacher=teacher))
  if name in DATASETS:
    spec = spec_of(name, _size(image_size, teacher))
    _check(spec, teacher)
    return DatasetSummary(spec, *count_images(name))
  folder = tfds_folder(name)
  return (tfds_sets.describe_set if folder else user_data.describe_path)(
    folder or name,
    teacher,
    image_size,
    background=background,
    class_names=class_names,
  )


def summary_of(dataset: Dataset) -> DatasetSummary:
  """Returns the summary of a data set in memory."""
  sizes = len(dataset.train_labels), len(dataset.test_labels)
  return DatasetSummary(dataset.spec, *sizes)


def tfds_folder(name: str) -> Path | None:
  """Returns the folder of a prepared set that TFDS reads, or None for a path.

  A path that exists comes before the name of a prepared set.

  Raises:
    JaxkdError: if this is neither of them.
  """
  path = Path(name).expanduser()
  if path.exists():
    return prepared.prepared_folder(path)
  folder = prepared.prepared_dir(name, None)
  looks_like_path = name.startswith((".", "~", os.sep)) or name.endswith(".npz")
  if folder is None and not looks_like_path:
    raise prepared.not_prepared(name, DATASETS)
  return folder


def _size(image_size: int, teacher: DataSpec | None) -> int:
  if image_size or teacher is None or len(teacher.shape) != 3:
    return image_size
  return teacher.shape[0]


def _check(spec: DataSpec, teacher: DataSpec | None) -> None:
  if teacher is None:
    return
  expected = (teacher.shape, teacher.num_classes)
  if expected != (spec.shape, spec.num_classes):
    raise JaxkdError(
      f"The teacher takes inputs {teacher.shape} and has "
      f"{teacher.num_classes} classes; {spec.name} has {spec.shape} and "
      f"{spec.num_classes}. Choose other data, another image_size, or "
      "--config.dataset=none."
    )
