"""A few images and what the owner's network says of them: the proof that a
network arrived as it left.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save as to_bytes

from jaxkd.serialization import mismatch, safetensors_io
from jaxkd.serialization.mismatch_causes import answer
from jaxkd.types import Classifier, DataSpec, JaxkdError

MOST_IMAGES = 64
TOLERANCE = 1e-4  # of the largest logit, or of 1 if that is smaller


class Probe(NamedTuple):
  """Attributes:

  images: `[N, H, W, C]` float32 in [0, 1] (points `[N, D]`).
  logits: `[N, K]` float32. Rows that are log-probabilities are compared as
    such: logits have no more meaning than up to a constant per row.
  """

  images: np.ndarray
  logits: np.ndarray


def images(spec: DataSpec, count: int = 8) -> np.ndarray:
  """Images to ask about, always the same: from coarse blocks to pure noise, no
  two channels, rows or columns alike.

  Returns:
    `[count, *spec.shape]` float32; images in [0, 1], points around the mean.
  """
  draw = np.random.default_rng(0)
  if len(spec.shape) != 3:
    points = draw.normal(spec.mean, spec.std, (count, *spec.shape))
    return points.astype(np.float32)
  height, width, channels = spec.shape
  coarse = draw.random((count, 4, 4, channels))
  rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
  coarse = coarse[:, rows][:, :, columns]
  share = np.linspace(0, 1, count)[:, None, None, None]
  noise = draw.random((count, *spec.shape))
  return ((1 - share) * coarse + share * noise).astype(np.float32)


def tolerance(probe: Probe) -> float:
  """What the largest difference may be: 1e-4 max(1, largest |logit|)."""
  return TOLERANCE * max(1.0, float(np.abs(probe.logits).max()))


def check(classifier: Classifier, probe: Probe, what: str) -> float:
  """Compares a classifier's answers with those that are expected.

  Args:
    classifier: takes images in [0, 1].
    probe: images and expected logits.
    what: the classifier in words, for messages.

  Returns:
    The largest difference of logits (of log-probabilities, where the expected
    rows are such).

  Raises:
    JaxkdError: if it exceeds `tolerance`; names the cause that fits.
  """
  answers = answer(classifier, probe.images)
  if answers.shape != probe.logits.shape:
    raise JaxkdError(
      f"{what} answers {answers.shape[-1]} classes, and the probe has "
      f"{probe.logits.shape[-1]}; set --num_classes to the network's."
    )
  for whose, rows in ((what, answers), ("The probe", probe.logits)):
    if not np.isfinite(rows).all():
      raise JaxkdError(f"{whose} has answers that are not finite.")
  limit = tolerance(probe)
  found = mismatch.difference(answers, probe.logits)
  if found <= limit and not mismatch.are_probabilities(probe.logits):
    return found
  cause = mismatch.explain(classifier, *probe, limit)
  raise JaxkdError(
    f"{what} does not answer the probe as expected: off by {found:.3g}, "
    f"allowed {limit:.1g}. {cause}"
  )


def save(path: Path, probe: Probe) -> None:
  """Writes a probe; the same one always as the same bytes."""
  tensors = {
    # The format's writer takes the memory as it lies.
    name: np.asarray(array, np.float32, order="C")
    for name, array in probe._asdict().items()
  }
  path.write_bytes(to_bytes(tensors))


def load(path: Path, spec: DataSpec, layout: str = "") -> Probe:
  """The probe in a file.

  Args:
    path: path of a safetensors file with `images` and `logits`, and no more.
    spec: that they must fit.
    layout: layout of the images, `nhwc` or `nchw`; empty tells by the shape.

  Raises:
    JaxkdError: if the file is damaged, or its tensors are no such images and
      logits: names, types, shapes, values outside [0, 1] or not finite.
  """
  header = safetensors_io.read_header(path)
  if set(header.shapes) != {"images", "logits"}:
    names = ", ".join(sorted(header.shapes)[:4]) or "nothing"
    raise JaxkdError(
      f"{path} has {names}; a probe has exactly `images` and `logits`."
    )
  if set(header.dtypes.values()) - set(safetensors_io.FLOATS):
    raise JaxkdError(
      f"{path} has {', '.join(header.dtypes.values())}; store images in [0, 1] "
      "and logits as float32."
    )
  shape, logits = header.shapes["images"], header.shapes["logits"]
  order = _order(path, shape, spec, layout)
  count = shape[0]
  if logits != (count, spec.num_classes) or not 0 < count <= MOST_IMAGES:
    raise JaxkdError(
      f"{path} has {count} images and logits {list(logits)}; expected 1 to "
      f"{MOST_IMAGES} images and as many rows of {spec.num_classes} logits."
    )
  with np.errstate(over="ignore"):  # what is infinite then is refused
    tensors = {
      name: tensor.astype(np.float32)
      for name, tensor in safetensors_io.read_tensors(path).items()
    }
  least, most = tensors["images"].min(), tensors["images"].max()
  if len(spec.shape) == 3 and not (least >= 0 and most <= 1):
    raise JaxkdError(
      f"{path} has images from {least:.3g} to {most:.3g}; store them in [0, 1],"
      " as they are before the normaliser."
    )
  return Probe(tensors["images"].transpose(order), tensors["logits"])


def _order(
  path: Path, shape: tuple[int, ...], spec: DataSpec, layout: str
) -> tuple[int, ...]:
  """Axes of the images as stored, in our order."""
  as_they_are = tuple(range(len(shape)))
  if len(spec.shape) != 3:
    fits = {"": as_they_are} if shape[1:] == spec.shape else {}
  else:
    height, width, channels = spec.shape
    sides = {
      "nhwc": ((height, width, channels), as_they_are),
      "nchw": ((channels, height, width), (0, 2, 3, 1)),
    }
    fits = {
      name: axes
      for name, (side, axes) in sides.items()
      if shape[1:] == side and layout in ("", name)
    }
  if not fits:
    raise JaxkdError(
      f"{path} has images {list(shape)}, which are not N images "
      f"{list(spec.shape)}{f' in layout {layout}' if layout else ''}."
    )
  if len(fits) > 1:
    raise JaxkdError(
      f"{path} has images {list(shape)}, which may be NHWC or NCHW; say which "
      "with --layout=nhwc or --layout=nchw."
    )
  return next(iter(fits.values()))
