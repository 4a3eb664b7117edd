"""Resolves the data of a run: a named set, a user's data, or none."""

import os
from pathlib import Path

from jaxkd.data import user_data
from jaxkd.data.loading import load
from jaxkd.data.registry import (
  DATASETS,
  Dataset,
  DatasetSummary,
  dataset_info,
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
      `jaxkd.data.user_data.load_path`; or `none`.
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
  if is_path(name):
    return user_data.load_path(
      name,
      teacher,
      image_size,
      background=background,
      class_names=class_names,
    )
  dataset = load(name, image_size=_size(name, image_size, teacher))
  _check(dataset.spec, teacher)
  return dataset


def describe(
  name: str,
  *,
  image_size: int = 0,
  teacher: DataSpec | None = None,
  class_names: tuple[str, ...] = (),
  background: str = "",
) -> DatasetSummary:
  """Returns the summary of the data of a run, and reads no images.

  A named set is not opened. Of a user's data labels and headers are read, see
  `jaxkd.data.user_data.describe_path`.

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
  if is_path(name):
    return user_data.describe_path(
      name,
      teacher,
      image_size,
      background=background,
      class_names=class_names,
    )
  spec = spec_of(name, _size(name, image_size, teacher))
  _check(spec, teacher)
  info = dataset_info(name)
  return DatasetSummary(spec, info.train_size, info.test_size)


def summary_of(dataset: Dataset) -> DatasetSummary:
  """Returns the summary of a data set in memory."""
  sizes = len(dataset.train_labels), len(dataset.test_labels)
  return DatasetSummary(dataset.spec, *sizes)


def is_path(name: str) -> bool:
  """Returns whether this is a file or folder, and no data set's name."""
  if name in DATASETS:
    return False
  return os.sep in name or name.endswith(".npz") or Path(name).exists()


def _size(name: str, image_size: int, teacher: DataSpec | None) -> int:
  if image_size or teacher is None or len(teacher.shape) != 3:
    return image_size
  return 0 if name not in DATASETS else teacher.shape[0]


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
