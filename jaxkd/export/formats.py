"""Synthetic sets on disk: PNG folders, npz shards, a TFDS set."""

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
  """Images that a method made, on the host.

  Attributes:
    images: `[N, H, W, C]` uint8, or float32 points.
    labels: `[N]` int32, the class meant; the teacher's where none was.
    teacher_labels: `[N]` int32, the class that the teacher saw.
    probabilities: `[N, K]` float32 of the teacher; None where it gave labels
      alone.
  """

  images: np.ndarray
  labels: np.ndarray
  teacher_labels: np.ndarray
  probabilities: np.ndarray | None


def write_png(folder: Path, synthetic: SyntheticSet) -> None:
  """A folder per label, e.g. `0003/000042.png`, and `labels.csv`: `file`,
  `label`, `teacher_label`, and a column of probabilities per class.
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
  """`synthetic-00000.npz` and so on, `SHARD` images each, whose arrays are the
  fields of `Synthetic`.
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
  """`synthetic/1.0.0`, for `tfds.builder_from_directory`; split `train`.

  Examples have `image`, `label`, `teacher_label`, and `probabilities` where
  there are some. Nothing of it needs TensorFlow, neither here nor there.
  """
  _check_channels(synthetic.images, "tfds")
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
      f"--format={name}: images of {images.shape[-1]} channels are neither "
      "grey nor RGB; choose --format=npz."
    )
