"""Sanity checks of the images that a method makes, in its first rounds.

Every warning and error is one line, and names a remedy.
"""

from collections.abc import Mapping

import jax
import numpy as np

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.evaluation import data_free_metrics
from jaxkd.types import JaxkdError, LossTerms, Samples

MAX_IMAGES = 2000  # of a round that are checked
MAX_CLASS_SHARE = 0.95  # fraction of images with the most frequent label
MAX_DUPLICATES = 0.5  # fraction of images that equal an earlier one
# Fraction of pixels that are black or white: worth a warning, and hopeless.
MAX_SATURATED, ALL_SATURATED = 0.95, 0.999
MIN_SPREAD = 1e-3  # standard deviation of a pixel over the images, mean
# The published step sizes of CAKE take pixels to 20 beyond [0, 1], and make
# the loss of their first set ten times larger.
MAX_OUTSIDE = 100.0
MAX_RISE, USUAL_RISE = 100.0, 1.0  # of a loss, relative to its first value

# The fields that make steps smaller, in the methods that have them.
STEP_FIELDS = (
  "synthesis.step_size",
  "synthesis.optimizer.learning_rate",
  "student.round_optimizer.learning_rate",
)


def step_fields(known: Mapping[str, object]) -> tuple[str, ...]:
  """Returns the fields of a flat config that make steps smaller."""
  return tuple(field for field in STEP_FIELDS if field in known)


def check_steps(
  samples: Samples, terms: LossTerms, config: Mapping[str, object]
) -> list[str]:
  """Checks that the first round improved its images.

  Args:
    samples: that the round stored.
    terms: of the round; `loss` and `first_loss`, where it has them, are those
      of each set after its last and before its first step.
    config: of the run, flat.

  Returns:
    Warnings, each in one line.

  Raises:
    JaxkdError: if images left [0, 1] by far, or if the loss of most sets grew
      by far, so that nothing can be learnt from the images.
  """
  remedy = _smaller_steps(config)
  _check_range(np.asarray(samples.images[:MAX_IMAGES]), remedy)
  if "first_loss" not in terms:
    return []
  first, last = (np.atleast_1d(terms[name]) for name in ("first_loss", "loss"))
  # Relative to the usual loss too, because that of one set may be near 0.
  scale = np.maximum(np.abs(first), np.abs(first).mean())
  rise = (last - first) / np.maximum(scale, 1e-12)
  worst = rise.argmax()
  line = (
    f"The loss of the images rises from {first[worst]:.3g} to "
    f"{last[worst]:.3g} over the steps of set {worst}: the steps are too large "
    f"for the gradients of this teacher; {remedy}."
  )
  if np.median(rise) > MAX_RISE:
    raise JaxkdError(line)
  return [line] if rise[worst] > USUAL_RISE else []


def check_variety(
  samples: Samples, num_classes: int, config: Mapping[str, object]
) -> list[str]:
  """Checks that the images of the first rounds differ.

  Args:
    samples: in the store after these rounds.
    num_classes: K.
    config: of the run, flat.

  Returns:
    Warnings, each in one line, see `variety_warnings`.

  Raises:
    JaxkdError: if images that a method makes by steps are all the same, or
      nothing but black and white. Real and procedural images may be so.
  """
  if step_fields(config):
    images = np.asarray(samples.images[:MAX_IMAGES])
    reason = _all_the_same(images) or _all_saturated(images)
    if reason:
      raise JaxkdError(
        f"{reason}, and nothing can be learnt from them; "
        f"{_smaller_steps(config)}, or change synthesis.weights."
      )
  return variety_warnings(samples, num_classes, config)


def variety_warnings(
  samples: Samples, num_classes: int, config: Mapping[str, object]
) -> list[str]:
  """Warns of images that are too alike, each in one line.

  That is if nearly all have one label, are copies of others, or are black and
  white only.

  Args:
    samples: to look at.
    num_classes: K.
    config: of the run, flat.
  """
  if not len(samples.labels):
    return []
  first = jax.tree.map(lambda leaf: leaf[:MAX_IMAGES], samples)
  images, remedy = np.asarray(first.images), _smaller_steps(config)
  return [
    *_check_classes(first, num_classes, remedy),
    *_check_duplicates(images, remedy),
    *(_check_saturation(images, remedy) if images.ndim == 4 else []),
  ]


def range_of(images: np.ndarray) -> str:
  """Says in which range pixels lie, and how many are no numbers."""
  images = np.asarray(images, np.float32)
  finite = images[np.isfinite(images)]
  if not finite.size:
    return "no finite pixel"
  words = f"pixels from {finite.min():.3g} to {finite.max():.3g}"
  missing = 1 - finite.size / images.size
  return words + (f", {missing:.1%} of them NaN or infinite" if missing else "")


def _smaller_steps(config: Mapping[str, object]) -> str:
  fields = [f"{field} ({config[field]:g})" for field in step_fields(config)]
  if not fields:
    return "choose other images"
  pixel_steps = ""
  if config.get("synthesis.step_unit") == "gradient":
    pixel_steps = ", or set synthesis.step_unit=pixel"
  return f"lower {' or '.join(fields)}{pixel_steps}"


def _check_range(images: np.ndarray, remedy: str) -> None:
  if images.ndim != 4 or images.dtype == np.uint8:
    return
  inside = (images > -MAX_OUTSIDE) & (images < 1 + MAX_OUTSIDE)
  if not inside.all():
    raise JaxkdError(
      f"The images of the first round have {range_of(images)}, and pixels are "
      "in [0, 1]: the steps are too large for the gradients of this teacher; "
      f"{remedy}."
    )


def _check_classes(
  samples: Samples, num_classes: int, remedy: str
) -> list[str]:
  labels = labels_of(samples)
  counts = np.asarray(class_counts(labels, num_classes))
  share = counts.max() / max(counts.sum(), 1)
  if share < MAX_CLASS_SHARE:
    return []
  return [
    f"{share:.0%} of the first {counts.sum()} images are of class "
    f"{counts.argmax()} for the teacher; a student learns little from them. "
    f"Try another seed, or {remedy}, and check the teacher's normaliser."
  ]


def _check_duplicates(images: np.ndarray, remedy: str) -> list[str]:
  share = data_free_metrics.duplicates(images)
  if share <= MAX_DUPLICATES:
    return []
  return [
    f"{share:.0%} of the first {len(images)} images are exact copies of "
    f"others; {remedy}."
  ]


def _check_saturation(images: np.ndarray, remedy: str) -> list[str]:
  share = _saturated(images)
  if share <= MAX_SATURATED:
    return []
  return [
    f"{share:.0%} of the pixels of the first {len(images)} images are black or "
    f"white; {remedy}."
  ]


def _all_the_same(images: np.ndarray) -> str:
  if len(images) < 2 or images.ndim != 4:
    return ""
  spread = (images.astype(np.float32) / _white(images)).std(axis=0).mean()
  if spread >= MIN_SPREAD:
    return ""
  return f"The first {len(images)} images are the same up to {spread:.0e}"


def _all_saturated(images: np.ndarray) -> str:
  if images.ndim != 4 or not len(images):
    return ""
  share = _saturated(images)
  if share <= ALL_SATURATED:
    return ""
  return (
    f"{share:.1%} of the pixels of the first {len(images)} images are black or "
    "white"
  )


def _saturated(images: np.ndarray) -> float:
  return float(np.mean((images <= 0) | (images >= _white(images))))


def _white(images: np.ndarray) -> int:
  return 255 if images.dtype == np.uint8 else 1
