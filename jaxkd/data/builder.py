"""Prepares data sets for TFDS without TensorFlow.

TFDS' own builders of these sets need TensorFlow. This module reads the same
official files and writes PNG images into array_record files, under the name and
version that TFDS uses, so that TFDS can read the result.
"""

from collections.abc import Callable, Iterator
import contextlib
import hashlib
import http.client
import io
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any
import urllib.request

import numpy as np

from jaxkd.data.parsers import READERS
from jaxkd.data.pixels import to_png
from jaxkd.data.prepared import data_root, prepared_dir
from jaxkd.data.registry import Arrays, DatasetInfo, dataset_info
from jaxkd.types import JaxkdError

_TIMEOUT_S = 15
Example = dict[str, Any]  # values of a TFDS example by feature name


def prepare(
  name: str,
  folder: str | os.PathLike | None = None,
  *,
  data_dir: str | os.PathLike | None = None,
  report: Callable[[str], None] = lambda line: None,
) -> Path:
  """Writes a full data set where `load` and TFDS find it.

  Args:
    name: a set that has official files.
    folder: the folder of those files; None downloads them.
    data_dir: TFDS folder; None is `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
    report: called with lines that describe the progress.

  Returns:
    The folder of the prepared set. A complete set is not written again.

  Raises:
    JaxkdError: if the set needs no preparation, or if a file cannot be
      downloaded, read or written. No partly written set remains.
  """
  info = dataset_info(name)
  if not info.urls:
    raise JaxkdError(
      f"{name} is part of the package; there is nothing to prepare."
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
    return _write(info, READERS[name](Path(folder)), data_dir, report)
  with tempfile.TemporaryDirectory() as downloads:
    _download(info, Path(downloads), report)
    arrays = READERS[name](Path(downloads))
    return _write(info, arrays, data_dir, report)


def _download(
  info: DatasetInfo, folder: Path, report: Callable[[str], None]
) -> None:
  """Downloads the official files and checks them by TFDS' checksums."""
  import tensorflow_datasets as tfds

  url_infos = tfds.builder_cls(info.spec.name).url_infos or {}
  for url in info.urls:
    report(f"downloading {url}")
    path = folder / _file_name(url)
    try:
      with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
        path.open("wb") as file,
      ):
        shutil.copyfileobj(response, file)
    except (OSError, http.client.HTTPException) as error:
      reason = getattr(error, "reason", error)
      raise JaxkdError(
        f"Cannot download {url} ({reason}). Get"
        f" {', '.join(_file_name(u) for u in info.urls)} yourself, then run:\n"
        f"python -m jaxkd.data prepare {info.spec.name} --from=FOLDER"
      ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if url in url_infos and digest != url_infos[url].checksum:
      raise JaxkdError(
        f"{url} does not have the checksum that TFDS lists; try again."
      )


def _file_name(url: str) -> str:
  return url.rsplit("/", 1)[-1]


def _write(
  info: DatasetInfo,
  arrays: Arrays,
  data_dir: str | os.PathLike | None,
  report: Callable[[str], None],
) -> Path:
  import tensorflow_datasets as tfds

  name, spec = info.spec.name, info.spec
  folder = data_root(data_dir) / name / info.version
  train_images, train_labels, test_images, test_labels = arrays
  features = {
    "image": tfds.features.Image(shape=spec.shape),
    "label": tfds.features.ClassLabel(num_classes=spec.num_classes),
  }

  def examples(images: np.ndarray, labels: np.ndarray) -> Iterator[Example]:
    for image, label in zip(images, labels, strict=True):
      yield {"image": to_png(image), "label": int(label)}

  report(f"writing {len(train_labels)} + {len(test_labels)} images of {name}")
  try:
    write_tfds(
      folder,
      info.origin,
      features,
      {
        "train": examples(train_images, train_labels),
        "test": examples(test_images, test_labels),
      },
    )
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
