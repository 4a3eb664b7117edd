"""Prepares data sets for TFDS without TensorFlow.

TFDS' own builders of these sets need TensorFlow. This module reads the same
official files and writes PNG images into array_record files, under the name and
version that TFDS uses, so that TFDS can read the result.
"""

from collections.abc import Callable, Iterator
import contextlib
import io
import os
from pathlib import Path
import tempfile
from typing import Any

import numpy as np

from jaxkd.data.downloads import download
from jaxkd.data.imagenet_subset import open_imagenet12
from jaxkd.data.labelled_files import LabelledFiles
from jaxkd.data.parsers import READERS
from jaxkd.data.pixels import to_png
from jaxkd.data.prepared import data_root, prepared_dir
from jaxkd.data.registry import Arrays, DatasetInfo, dataset_info
from jaxkd.data.tiny_imagenet import open_tiny_imagenet
from jaxkd.types import JaxkdError

Example = dict[str, Any]  # values of a TFDS example by feature name


def prepare(
  name: str,
  folder: str | os.PathLike | None = None,
  *,
  classes: str | os.PathLike | None = None,
  data_dir: str | os.PathLike | None = None,
  report: Callable[[str], None] = lambda line: None,
) -> Path:
  """Writes a full data set where `load` and TFDS find it.

  Args:
    name: a set that has official files.
    folder: the folder of those files; None downloads them.
    classes: the user's list of classes, of `imagenet12` alone.
    data_dir: TFDS folder; None is `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
    report: called with lines that describe the progress.

  Returns:
    The folder of the prepared set. A complete set is not written again.

  Raises:
    JaxkdError: if the set needs no preparation, or if a file cannot be
      downloaded, read or written. No partly written set remains.
  """
  info = dataset_info(name)
  if not info.version:
    raise JaxkdError(
      f"{name} is part of the package; there is nothing to prepare."
    )
  if classes is not None and name != "imagenet12":
    raise JaxkdError(
      f"--classes={classes}: {name} has classes of its own; leave it out."
    )
  if (prepared := prepared_dir(name, data_dir)) is not None:
    report(
      f"{name} is already prepared; delete {prepared} to prepare it again."
    )
    return prepared
  if folder is not None:
    if not Path(folder).is_dir():
      raise JaxkdError(
        f"--from={folder} is not a folder; give the folder of the official "
        "files."
      )
    return _read_and_write(info, Path(folder), classes, data_dir, report)
  if not info.urls:
    raise JaxkdError(
      f"{name} can't be downloaded without an account; give the folder of its "
      f"files:\npython -m jaxkd.data prepare {name} --from=FOLDER"
    )
  with tempfile.TemporaryDirectory() as downloads:
    download(info, Path(downloads), report)
    return _read_and_write(info, Path(downloads), None, data_dir, report)


def _read_and_write(
  info: DatasetInfo,
  folder: Path,
  classes: str | os.PathLike | None,
  data_dir: str | os.PathLike | None,
  report: Callable[[str], None],
) -> Path:
  """Reads the official files in a folder, and writes the set."""
  name = info.spec.name
  if name == "tiny_imagenet":
    opened = open_tiny_imagenet(folder)
  elif name == "imagenet12":
    opened = open_imagenet12(folder, Path(classes) if classes else None)
  else:
    opened = contextlib.nullcontext(READERS[name](folder))
  with opened as content:
    if isinstance(content, LabelledFiles):
      return _write_files(info, content, data_dir, report)
    return _write_arrays(info, content, data_dir, report)


def _write_arrays(
  info: DatasetInfo,
  arrays: Arrays,
  data_dir: str | os.PathLike | None,
  report: Callable[[str], None],
) -> Path:
  def examples(images: np.ndarray, labels: np.ndarray) -> Iterator[Example]:
    for image, label in zip(images, labels, strict=True):
      yield {"image": to_png(image), "label": int(label)}

  sizes = len(arrays[1]), len(arrays[3])
  splits = {"train": examples(*arrays[:2]), "test": examples(*arrays[2:])}
  return _write(info, (), sizes, splits, data_dir, report)


def _write_files(
  info: DatasetInfo,
  files: LabelledFiles,
  data_dir: str | os.PathLike | None,
  report: Callable[[str], None],
) -> Path:
  def examples(images: list[tuple[str, int]]) -> Iterator[Example]:
    for name, label in images:
      yield {"image": files.read(name), "label": label}

  sizes = len(files.train), len(files.test)
  splits = {"train": examples(files.train), "test": examples(files.test)}
  return _write(info, files.classes, sizes, splits, data_dir, report)


def _write(
  info: DatasetInfo,
  classes: tuple[str, ...],
  sizes: tuple[int, int],
  splits: dict[str, Iterator[Example]],
  data_dir: str | os.PathLike | None,
  report: Callable[[str], None],
) -> Path:
  import tensorflow_datasets as tfds

  name, spec = info.spec.name, info.spec
  folder = data_root(data_dir) / name / info.version
  named = {"names": list(classes)} if classes else {}
  label = named or {"num_classes": spec.num_classes}
  features = {
    "image": tfds.features.Image(shape=spec.shape),
    "label": tfds.features.ClassLabel(**label),
  }
  report(f"writing {sizes[0]} + {sizes[1]} images of {name}")
  try:
    write_tfds(folder, info.origin, features, splits)
  except OSError as error:
    raise JaxkdError(
      f"Cannot write {name} to {data_root(data_dir)}: {error}"
    ) from error
  report(f"prepared {folder}")
  return folder


def write_tfds(
  folder: Path,
  description: str,
  features: dict[str, Any],
  splits: dict[str, Iterator[Example]],
) -> None:
  """Writes a data set as array_record files for TFDS, without TensorFlow.

  Args:
    folder: the folder to make, `.../NAME/VERSION`.
    description: description of the data set.
    features: TFDS features by name, `image` and `label` among them.
    splits: examples by the name of the split; images are the bytes of PNGs.
  """
  import tensorflow_datasets as tfds

  class ArrayBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of examples that are already in memory."""

    VERSION = tfds.core.Version(folder.name)

    def _info(self) -> tfds.core.DatasetInfo:
      return tfds.core.DatasetInfo(
        builder=self,
        description=description,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
      )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
      return {
        name: self._generate_examples(examples)
        for name, examples in splits.items()
      }

    def _generate_examples(
      self, examples: Iterator[Example]
    ) -> Iterator[tuple[int, Example]]:
      return enumerate(examples)

  ArrayBuilder.name = folder.parent.name
  tfds.disable_progress_bar()
  builder = ArrayBuilder(data_dir=folder.parents[1])
  # TFDS prints that it downloads a set of unknown size, which is not true.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(file_format="array_record")
