"""Sheets of procedural images."""

import math
from pathlib import Path

import jax
import numpy as np

from jaxkd.config import checks
from jaxkd.data.pixels import PNG_CHANNELS, to_png
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import write_bytes
from jaxkd.synthesis import procedural

MIXTURE = "mixture"  # of all sources, in equal parts
GAP = 1  # grey pixels between images


def export_source(
  name: str,
  count: int,
  out: Path,
  size: int = 32,
  channels: int = 1,
  seed: int = 0,
) -> None:
  """Draws a sheet of procedural images and writes it as a PNG file.

  Args:
    name: one of `procedural.SOURCES`, or `mixture`.
    count: number of images; the sheet is as nearly square as they allow.
    out: the file to write.
    size: height and width of each image.
    channels: 1 or 3.
    seed: seed of the images.

  Raises:
    JaxkdError: if there is no such source, or no PNG of these numbers.
  """
  checks.choice("--name", name, (*procedural.SOURCES, MIXTURE))
  checks.positive(**{"--count": count, "--size": size})
  if channels not in PNG_CHANNELS:
    raise JaxkdError(f"--channels={channels}: a PNG file has 1 or 3.")
  key, shape = jax.random.key(seed), (size, size, channels)
  if name == MIXTURE:
    weights = dict.fromkeys(procedural.SOURCES, 1.0)
    images = procedural.draw_mixture(weights, key, count, shape)
  else:
    images = procedural.draw(name, key, count, shape)
  write_bytes(out, to_png(_tile(np.asarray(images))))


def _tile(images: np.ndarray) -> np.ndarray:
  """Lays images `[N, H, W, C]` out as one, in rows, with grey gaps."""
  columns = math.ceil(math.sqrt(len(images)))
  rows = -(-len(images) // columns)
  _, height, width, channels = images.shape
  sheet = np.full(
    (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels),
    128,
    np.uint8,
  )
  for index, image in enumerate(images):
    top = index // columns * (height + GAP) + GAP
    left = index % columns * (width + GAP) + GAP
    sheet[top : top + height, left : left + width] = image
  return sheet
