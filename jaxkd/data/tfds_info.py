"""What a data set that TFDS has prepared says about itself.

Its features say which of them is the image and which the label, and its splits
what to train and to test on. TensorFlow is not needed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxkd.data.prepared import FORMAT, tfds_command
from jaxkd.data.registry import DATASETS
from jaxkd.data.shapes import Shape
from jaxkd.data.split_folders import TEST_SPLITS, TRAIN_SPLITS
from jaxkd.types import JaxkdError

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

HELD_OUT = 10  # every tenth image of a set that has no part to test on


class Part(NamedTuple):
  """Rows of a split of TFDS.

  Attributes:
    split: name of the split; empty for none.
    rows: which of its examples.
  """

  split: str = ""
  rows: Sequence[int] = ()


class PreparedSet(NamedTuple):
  """A prepared set, before its examples are read.

  Attributes:
    name: as TFDS has it, with the config and without the version.
    folder: of the version.
    builder: of TFDS.
    image: name of the feature with the image.
    label: name of the feature with the label.
    shape: height, width and channels; a side that is not stated is 0.
    classes: their names.
    train: rows to train on, possibly none.
    test: rows to test on, possibly none.
    notes: what a person should know about how it is read.
  """

  name: str
  folder: Path
  builder: "tfds.core.DatasetBuilder"
  image: str
  label: str
  shape: Shape
  classes: tuple[str, ...]
  train: Part = Part()
  test: Part = Part()
  notes: tuple[str, ...] = ()

  @property
  def spec_name(self) -> str:
    """The name in specs and in names of files, which have no slash."""
    return self.name.replace("/", "-")

  @property
  def largest(self) -> Part:
    """The part to train on, or where there is none that to test on."""
    return self.train if self.train.rows else self.test

  def examples(self, split: str) -> Sequence[dict[str, object]]:
    """Returns the examples of a split, with images as they were encoded.

    Raises:
      JaxkdError: if files of the split are missing or damaged.
    """
    import tensorflow_datasets as tfds

    decoders = {
      name: tfds.decode.SkipDecoding()
      for name, feature in self.builder.info.features.items()
      if isinstance(feature, tfds.features.Image)
    }
    try:
      return self.builder.as_data_source(
        split, decoders=decoders, file_format=FORMAT
      )
    except Exception as error:  # TFDS and array_record raise many types
      raise damaged(self.folder, error) from error


def read_info(folder: Path) -> PreparedSet:
  """Reads what a set says about itself, and one label of what it is tested on.

  Args:
    folder: of a version of the set.

  Raises:
    JaxkdError: if it is not in the format array_record, has no image with one
      label, or is damaged.
  """
  # Here, because the package takes seconds to import.
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder_from_directory(folder)
    info = builder.info
    formats = {each.value for each in info.available_file_formats()}
    image, label = _supervised(folder, info.features, info.supervised_keys)
    shape = tuple(side or 0 for side in info.features[image].shape)
    classes = tuple(info.features[label].names)
  except JaxkdError:
    raise
  except Exception as error:  # TFDS raises many types
    raise damaged(folder, error) from error
  name = "/".join(filter(None, (info.name, info.config_name)))
  if FORMAT not in formats:
    raise JaxkdError(_other_format(name, folder, sorted(formats)))
  return _with_parts(
    PreparedSet(name, folder, builder, image, label, shape, classes)
  )


def _other_format(name: str, folder: Path, formats: list[str]) -> str:
  """Returns the message for a set that only TensorFlow reads."""
  problem = (
    f"{folder} is in the format {', '.join(formats) or 'of an old TFDS'}"
  )
  if name in DATASETS:
    return (
      f"{problem}, and {FORMAT} is read. Prepare it in another folder by:\n"
      f"python -m jaxkd.data prepare {name} --data_dir=FOLDER"
    )
  return (
    f"{problem}, and {FORMAT} is read. Delete it, or name another folder by "
    "TFDS_DATA_DIR, and where TensorFlow is installed run:\n"
    f"{tfds_command(name)}"
  )


def damaged(folder: Path, error: Exception) -> JaxkdError:
  """Returns the error for a set that TFDS can't read."""
  reason = " ".join(str(error).split())[:200]
  return JaxkdError(
    f"{folder} is damaged ({type(error).__name__}: {reason}). Delete it, and "
    "prepare it again."
  )


def _supervised(
  folder: Path,
  features: "tfds.features.FeaturesDict",
  keys: tuple[str, ...] | None,
) -> tuple[str, str]:
  """Returns the names of the features with the image and its label."""
  import tensorflow_datasets as tfds

  labels = [
    name
    for name, feature in features.items()
    if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes
  ]
  images = [
    name
    for name, feature in features.items()
    if isinstance(feature, (tfds.features.Image, tfds.features.Tensor))
    and len(feature.shape) == 3
    and feature.shape[-1] in (1, 2, 3, 4)
    and feature.np_dtype in (np.uint8, np.uint16)
  ]
  if keys and len(keys) == 2 and keys[0] in images and keys[1] in labels:
    return keys
  images = images if len(images) < 2 else [n for n in images if n == "image"]
  labels = labels if len(labels) < 2 else [n for n in labels if n == "label"]
  if images and labels:
    return images[0], labels[0]
  raise JaxkdError(
    f"{folder} is no set for image classification: it needs one image and one "
    f"class label, and has {', '.join(features)}. Choose other data."
  )


def _with_parts(prepared: PreparedSet) -> PreparedSet:
  """Chooses what to train and to test on, by the names of the splits."""
  counts = {
    name: split.num_examples
    for name, split in prepared.builder.info.splits.items()
  }
  train = next((name for name in TRAIN_SPLITS if counts.get(name)), "")
  tests = [
    name
    for name in TEST_SPLITS
    if counts.get(name) and _is_labelled(prepared, name)
  ]
  if tests:
    left_out = [f"{n} is left out, {tests[0]} is used" for n in tests[1:]]
    return prepared._replace(
      train=Part(train, range(counts[train])) if train else Part(),
      test=Part(tests[0], range(counts[tests[0]])),
      notes=tuple(left_out),
    )
  if not train:
    raise JaxkdError(
      f"{prepared.folder} has {', '.join(counts) or 'no split'}; it needs a "
      "split train or test with images and labels."
    )
  rows = np.arange(counts[train])
  held_out = rows % HELD_OUT == HELD_OUT - 1
  note = (
    f"there is no labelled split to test on; every {HELD_OUT}th image of "
    f"{train} is held out"
  )
  return prepared._replace(
    train=Part(train, rows[~held_out].tolist()),
    test=Part(train, rows[held_out].tolist()),
    notes=(note,),
  )


def _is_labelled(prepared: PreparedSet, split: str) -> bool:
  """Whether the first example has a label; TFDS writes -1 where none has."""
  try:
    return prepared.examples(split)[0][prepared.label] >= 0
  except JaxkdError:
    raise
  except Exception as error:  # as above
    raise damaged(prepared.folder, error) from error
