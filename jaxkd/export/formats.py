"""Formats of exported images: PNG folders, npz shards and a TFDS data set."""

from collections.abc import Iterator
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxkd.data import builder
from jaxkd.data.builder import Example
from jaxkd.data.pixels import to_png
from jaxkd.types import JaxkdError

SHARD = 10_000  # images in an npz file


class SyntheticSet(NamedTuple):
  """Images that a method made and their labels, in host memory.

  Attributes:
    images: `[N, H, W, C]` uint8, or float32 points.
    labels: `[N]` int32, the target class of each image; the teacher's label
      where the method set no target.
    teacher_labels: `[N]` int32, the teacher's labels.
    probabilities: `[N, K]` float32, the teacher's probabilities; None where it
      answered with labels.
  """

  images: np.ndarray
  labels: np.ndarray
  teacher_labels: np.ndarray
  probabilities: np.ndarray | None


def write_png(folder: Path, synthetic: SyntheticSet) -> None:
  """Writes a folder of PNG files for each label, and `labels.csv`.

  Files are named as `0003/000042.png`. The table has the columns `file`,
  `label`, `teacher_label`, and a probability for each class if there are any.
  """
  _check_channels(synthetic.images, "png")
  num_classes = 0
  if synthetic.probabilities is not None:
    num_classes = synthetic.probabilities.shape[1]
  columns = [f"probability_{k}" for k in range(num_classes)]
  with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
    table = csv.writer(file)
    table.writerow(["file", "label", "teacher_label", *columns])
    for index, image in enumerate(synthetic.images):
      label = int(synthetic.labels[index])
      name = f"{label:04}/{index:06}.png"
      (folder / name).parent.mkdir(exist_ok=True)
      (folder / name).write_bytes(to_png(image))
      soft = synthetic.probabilities[index] if num_classes else ()
      table.writerow(
        [name, label, int(synthetic.teacher_labels[index])]
        + [f"{probability:.6g}" for probability in soft]
      )


def write_npz(folder: Path, synthetic: SyntheticSet) -> None:
  """Writes `synthetic-00000.npz` and so on, with `SHARD` images each.

  Their arrays are the fields of `SyntheticSet`.
  """
  arrays = {
    name: array
    for name, array in synthetic._asdict().items()
    if array is not None
  }
  for index, start in enumerate(range(0, len(synthetic.images), SHARD)):
    shard = {name: a[start : start + SHARD] for name, a in arrays.items()}
    np.savez_compressed(folder / f"synthetic-{index:05}.npz", **shard)


def write_tfds(folder: Path, synthetic: SyntheticSet) -> None:
  """Writes `synthetic/1.0.0` with the split `train`, as TFDS data sets are.

  `tfds.builder_from_directory` reads it. Examples have `image`, `label`,
  `teacher_label`, and `probabilities` if there are any. TensorFlow is needed
  neither to write nor to read it.
  """
  _check_channels(synthetic.images, "tfds")
  # Here, because the package takes seconds to import.
  import tensorflow_datasets as tfds

  soft, num_classes = synthetic.probabilities, int(synthetic.labels.max()) + 1
  features = {"image": tfds.features.Image(shape=synthetic.images.shape[1:])}
  if soft is not None:
    num_classes = soft.shape[1]
    shape = (num_classes,)
    features["probabilities"] = tfds.features.Tensor(
      shape=shape, dtype=np.float32
    )
  for name in ("label", "teacher_label"):
    features[name] = tfds.features.ClassLabel(num_classes=num_classes)

  def examples() -> Iterator[Example]:
    for index, image in enumerate(synthetic.images):
      example = {
        "image": to_png(image),
        "label": int(synthetic.labels[index]),
        "teacher_label": int(synthetic.teacher_labels[index]),
      }
      if soft is not None:
        example["probabilities"] = soft[index]
      yield example

  builder.write_tfds(
    folder / "synthetic" / "1.0.0",
    "Images made by a method of jaxkd; see manifest.json.",
    features,
    {"train": examples()},
  )


FORMATS = {"png": write_png, "npz": write_npz, "tfds": write_tfds}


def _check_channels(images: np.ndarray, name: str) -> None:
  if images.shape[-1] not in (1, 3):
    raise JaxkdError(
      f"--format={name} holds images of 1 or 3 channels, and these have "
      f"{images.shape[-1]}; choose --format=npz."
    )
