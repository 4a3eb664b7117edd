"""Labels for a folder of images, predicted by an exported network."""

from collections import Counter
from collections.abc import Iterator
import csv
from pathlib import Path
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from jaxkd.config import checks
from jaxkd.data.formats import IMAGE_SUFFIXES
from jaxkd.data.pixels import MODES, fit, to_float
from jaxkd.errors import JaxkdError
from jaxkd.serialization import bundle
from jaxkd.serialization.bundle import LoadedBundle
from jaxkd.types import Array, Classifier, DataSpec

BATCH = 64
_EIGHT_BIT = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "YCbCr")


class PredictionSummary(NamedTuple):
  """The numbers of images that were labelled, unreadable and converted.

  Attributes:
    labelled: images with a label.
    unreadable: images that could not be read.
    converted: images by conversion, such as `24x24 RGB to 8x8 L`.
  """

  labelled: int
  unreadable: int
  converted: Counter[str]


def predict(
  bundle_folder: Path, source: Path, out: Path, top: int = 1, model: str = ""
) -> PredictionSummary:
  """Writes a network's predictions for images to a CSV file.

  Its columns are `file`, `label` and `probability`, with `top` lines for each
  image, likeliest first. An image that can't be read is named on stderr and
  left out.

  Args:
    bundle_folder: the bundle of the network.
    source: an image, or a folder of images with its subfolders.
    out: the CSV file.
    top: the number of classes for each image.
    model: `module:function` that builds the network, if it is the user's own.

  Raises:
    JaxkdError: if there is no image, or the network does not take images.
  """
  loaded = bundle.read(bundle_folder, model)
  spec = loaded.spec
  if len(spec.shape) != 3 or spec.shape[-1] not in (1, 3):
    raise JaxkdError(
      f"The network in {bundle_folder} takes inputs of shape {spec.shape}; "
      "only networks for grey or RGB images can be used."
    )
  checks.at_least("--top", top, 1)
  checks.at_most("--top", top, spec.num_classes, "classes")
  files = _find_images(source)
  converted, labelled = Counter(), 0
  root = source if source.is_dir() else source.parent
  try:
    with out.open("w", newline="", encoding="utf-8") as file:
      table = csv.writer(file)
      table.writerow(["file", "label", "probability"])
      for names, images in _batches(files, spec, converted):
        rows = _probabilities(loaded, images)
        for name, row in zip(names, rows, strict=True):
          for k in np.argsort(-row, kind="stable")[:top]:
            table.writerow(
              [name.relative_to(root), _label(loaded, k), f"{row[k]:.6g}"]
            )
        labelled += len(names)
  except OSError as error:
    raise JaxkdError(f"{out} can't be written ({error.strerror}).") from error
  return PredictionSummary(labelled, len(files) - labelled, converted)


def _find_images(source: Path) -> list[Path]:
  if source.is_file():
    return [source]
  paths = sorted(
    path
    for path in source.rglob("*")
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
  )
  if not paths:
    raise JaxkdError(
      f"There is no image in {source}; name an image, or a folder with files "
      f"of type {', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}."
    )
  return paths


def _batches(
  files: list[Path], spec: DataSpec, converted: Counter[str]
) -> Iterator[tuple[list[Path], np.ndarray]]:
  """Yields readable files and their images uint8 `[n, H, W, C]`, n <= BATCH."""
  for start in range(0, len(files), BATCH):
    names, images = [], []
    for path in files[start : start + BATCH]:
      try:
        images.append(_read(path, spec, converted))
        names.append(path)
      # Pillow raises different errors for different formats.
      except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
      ) as e:
        print(f"jaxkd: {path} can't be read: {e}", file=sys.stderr)
    if names:
      yield names, np.stack(images)


def _read(path: Path, spec: DataSpec, converted: Counter[str]) -> np.ndarray:
  """Reads an image and converts it to the network's size, uint8 `[H, W, C]`."""
  height, width, channels = spec.shape
  with Image.open(path) as image:
    if image.mode not in _EIGHT_BIT:
      raise ValueError(f"its pixels ({image.mode}) have more than 8 bits")
    upright = ImageOps.exif_transpose(image)
    pixels = fit(upright, spec.shape)
  mode = MODES[channels]
  if (upright.size, upright.mode) != ((width, height), mode):
    original = f"{upright.width}x{upright.height} {upright.mode}"
    converted[f"{original} to {width}x{height} {mode}"] += 1
  return pixels


def _probabilities(loaded: LoadedBundle, images: np.ndarray) -> np.ndarray:
  """Computes `[n, K]` probabilities; batches are padded to compile once."""
  batch = np.zeros((BATCH, *loaded.spec.shape), np.uint8)
  batch[: len(images)] = images
  return np.asarray(_forward(loaded.classifier, batch))[: len(images)]


@jax.jit
def _forward(classifier: Classifier, images: Array) -> Array:
  logits = classifier(to_float(images)).logits
  return jax.nn.softmax(logits.astype(jnp.float32))


def _label(loaded: LoadedBundle, k: int) -> str:
  names = loaded.card.class_names
  return names[k] if names else str(k)
