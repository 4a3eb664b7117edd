"""Probes: images and the logits that a network must give for them.

A probe made with the original network shows that an imported one is the same.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save as to_bytes

from jaxkd.models.network_outputs import to_logits
from jaxkd.serialization import mismatch, safetensors_io
from jaxkd.serialization.answers import answer
from jaxkd.types import Classifier, DataSpec, JaxkdError

MAX_IMAGES = 64
TOLERANCE = 1e-4  # relative to the largest logit, or to 1 if that is larger


class Probe(NamedTuple):
  """Images and the logits that a network must give for them.

  Attributes:
    images: `[N, H, W, C]` float32 in [0, 1] (points `[N, D]`).
    logits: `[N, K]` float32. If rows are log-probabilities, those of the
      network are compared with them, since logits are defined up to a constant.
  """

  images: np.ndarray
  logits: np.ndarray


def images(spec: DataSpec, count: int = 8) -> np.ndarray:
  """Draws the fixed images of a probe, from coarse blocks to pure noise.

  No two channels, rows or columns are equal.

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
  """Returns the largest allowed difference, 1e-4 max(1, largest |logit|)."""
  return TOLERANCE * max(1.0, float(np.abs(probe.logits).max()))


def doubts(probe: Probe) -> list[str]:
  """Returns a warning, in one line, if a network that gives the same answer to
  every image would pass.
  """
  rows, limit = probe.logits, tolerance(probe)
  largest = float(
    np.abs(rows).max() if len(rows) < 2 else np.ptp(rows, 0).max()
  )
  if largest > 2 * limit:
    return []
  return [
    f"Warning: the probe proves nothing: its logits differ by {largest:.2g} "
    f"between images, and {limit:.2g} is allowed. Weights that are trained "
    "give others; check that they were loaded."
  ]


def check(classifier: Classifier, probe: Probe, what: str) -> float:
  """Compares a classifier's answers with the expected logits of a probe.

  Args:
    classifier: takes images in [0, 1].
    probe: images and expected logits.
    what: description of the classifier, for messages.

  Returns:
    The largest difference of logits, or of log-probabilities if the expected
    rows are such.

  Raises:
    JaxkdError: if the difference exceeds `tolerance`; the message names the
      cause, if it is a usual one.
  """
  answers = answer(classifier, probe.images)
  if answers.shape != probe.logits.shape:
    raise JaxkdError(
      f"{what} answers {answers.shape[-1]} classes, and the probe has "
      f"{probe.logits.shape[-1]}; set --num_classes to the network's number."
    )
  for source, rows in ((what, answers), ("The probe", probe.logits)):
    if not np.isfinite(rows).all():
      raise JaxkdError(f"{source} has answers that are not finite.")
  limit = tolerance(probe)
  difference = mismatch.difference(answers, probe.logits)
  if difference <= limit and not mismatch.are_probabilities(probe.logits):
    return difference
  cause = mismatch.explain(classifier, *probe, limit)
  raise JaxkdError(
    f"{what} does not answer the probe as expected: the largest difference is "
    f"{difference:.3g}, {limit:.1g} is allowed. {cause}"
  )


def save(path: Path, probe: Probe) -> None:
  """Writes a probe as a safetensors file; equal probes give equal bytes."""
  tensors = {
    # The writer ignores strides, so arrays have to be contiguous.
    name: np.asarray(array, np.float32, order="C")
    for name, array in probe._asdict().items()
  }
  path.write_bytes(to_bytes(tensors))


def load(path: Path, spec: DataSpec, layout: str = "", kind: str = "") -> Probe:
  """Reads and checks the probe in a file.

  Args:
    path: path of a safetensors file with exactly `images` and `logits`.
    spec: spec of the images and classes.
    layout: layout of the images, `nhwc` or `nchw`; empty infers it from the
      shape.
    kind: what the file has as logits, one of `OUTPUT_KINDS`; empty if nobody
      said it. Of two classes one number for each image is enough.

  Raises:
    JaxkdError: if the file is damaged, or if names, types, shapes or values of
      the tensors are not those of a probe.
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
  allowed = [(count, spec.num_classes)]
  if spec.num_classes == 2:
    allowed += [(count,), (count, 1)]
  if logits not in allowed or not 0 < count <= MAX_IMAGES:
    raise JaxkdError(
      f"{path} has {count} images and logits {list(logits)}; expected 1 to "
      f"{MAX_IMAGES} images and as many rows of {spec.num_classes} logits."
    )
  with np.errstate(over="ignore"):  # infinite values are refused below
    tensors = {
      name: tensor.astype(np.float32)
      for name, tensor in safetensors_io.read_tensors(path).items()
    }
  low, high = tensors["images"].min(), tensors["images"].max()
  if len(spec.shape) == 3 and not (low >= 0 and high <= 1):
    raise JaxkdError(
      f"{path} has pixels from {low:.3g} to {high:.3g}; store images in "
      "[0, 1], before the normaliser."
    )
  images, rows = tensors["images"].transpose(order), tensors["logits"]
  _check_kind(rows, kind)
  return Probe(images, np.asarray(to_logits(rows, kind)))


def _check_kind(rows: np.ndarray, kind: str) -> None:
  """Refuses answers that are not of the kind that the flag says, or that may be
  of another where it says none.
  """
  single = rows.ndim == 1 or rows.shape[1] == 1
  within = rows.min() >= 0 and rows.max() <= 1
  if not kind and single and within:
    raise JaxkdError(
      "The answers of the probe are one number from 0 to 1; say what it is: "
      "--output_kind=sigmoid for the probability of the second class, =logits "
      "for its logit."
    )
  sums = kind == "sigmoid" or single or mismatch.are_probabilities(rows)
  if kind in ("", "logits") or (within and sums):
    return
  reason = "do not sum to 1" if within else "are not in [0, 1]"
  raise JaxkdError(
    f"--output_kind={kind}, but the answers of the probe are not: they "
    f"{reason}; set --output_kind=logits."
  )


def _order(
  path: Path, shape: tuple[int, ...], spec: DataSpec, layout: str
) -> tuple[int, ...]:
  """Returns the axes of the stored images in the order NHWC."""
  unchanged = tuple(range(len(shape)))
  if len(spec.shape) != 3:
    fits = {"": unchanged} if shape[1:] == spec.shape else {}
  else:
    height, width, channels = spec.shape
    layouts = {
      "nhwc": ((height, width, channels), unchanged),
      "nchw": ((channels, height, width), (0, 2, 3, 1)),
    }
    fits = {
      name: axes
      for name, (sizes, axes) in layouts.items()
      if shape[1:] == sizes and layout in ("", name)
    }
  if not fits:
    raise JaxkdError(
      f"{path} has images {list(shape)}, which are not N images "
      f"{list(spec.shape)}{f' in layout {layout}' if layout else ''}; correct "
      "the probe or --image_shape."
    )
  if len(fits) > 1:
    raise JaxkdError(
      f"{path} has images {list(shape)}, which may be NHWC or NCHW; set "
      "--layout=nhwc or --layout=nchw."
    )
  return next(iter(fits.values()))
