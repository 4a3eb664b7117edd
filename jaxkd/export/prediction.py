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

from jaxkd.config import checks
from jaxkd.data import pictures
from jaxkd.data.pixels import MODES, Background, fit, to_float
from jaxkd.data.split_folders import walk
from jaxkd.errors import JaxkdError
from jaxkd.serialization import bundle
from jaxkd.serialization.bundle import LoadedBundle
from jaxkd.types import Array, Classifier, DataSpec

BATCH = 64


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
  bundle_folder: Path,
  source: Path,
  out: Path,
  top: int = 1,
  model: str = "",
  background: str = "",
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
    background: colour on which transparent images are put; empty for none,
      where they count as unreadable.

  Raises:
    JaxkdError: if there is no image, or the network does not take images.
  """
  loaded = bundle.read(bundle_folder, model)
  spec = loaded.spec
  if len(spec.shape) != 3 or spec.shape[-1] not in MODES:
    raise JaxkdError(
      f"The network in {bundle_folder} takes inputs of shape {spec.shape}; "
      "only networks for images of 1 to 4 channels can be used."
    )
  checks.at_least("--top", top, 1)
  checks.at_most("--top", top, spec.num_classes, "classes")
  colour = Background.named("--background", background)
  files = _find_images(source)
  converted, labelled = Counter(), 0
  root = source if source.is_dir() else source.parent
  try:
    with out.open("w", newline="", encoding="utf-8") as file:
      table = csv.writer(file)
      table.writerow(["file", "label", "probability"])
      for names, images in _batches(files, spec, colour, converted):
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
    for path in walk(source)
    if pictures.is_image_file(path) and path.is_file()
  )
  if not paths:
    raise JaxkdError(
      f"There is no image in {source}; name an image, or a folder with files "
      f"of type {', '.join(suffix[1:] for suffix in pictures.SUFFIXES)}."
    )
  return paths


def _batches(
  files: list[Path],
  spec: DataSpec,
  background: Background,
  converted: Counter[str],
) -> Iterator[tuple[list[Path], np.ndarray]]:
  """Yields readable files and their images uint8 `[n, H, W, C]`, n <= BATCH."""
  for start in range(0, len(files), BATCH):
    names, images = [], []
    for path in files[start : start + BATCH]:
      try:
        images.append(_read(path, spec, background, converted))
        names.append(path)
      except JaxkdError as error:
        print(f"jaxkd: {error}", file=sys.stderr)
    if names:
      yield names, np.stack(images)


def _read(
  path: Path, spec: DataSpec, background: Background, converted: Counter[str]
) -> np.ndarray:
  """Reads an image and converts it to the network's size, uint8 `[H, W, C]`."""
  height, width, channels = spec.shape
  with pictures.open_image(path) as image:
    deep = " with 16 bits" if pictures.is_sixteen_bit(image) else ""
    upright = pictures.upright(image, path)
    pixels = fit(upright, spec.shape, background, str(path))
  mode = MODES[channels]
  if deep or (upright.size, upright.mode) != ((width, height), mode):
    original = f"{upright.width}x{upright.height} {upright.mode}{deep}"
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
