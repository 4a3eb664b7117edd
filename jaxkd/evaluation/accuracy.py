"""Accuracy of a student, and its agreement with a teacher, on labelled data."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd.data import to_float
from jaxkd.types import Array, Classifier, JaxkdError

Z = 1.959964  # of a two-sided 95 % interval of the normal distribution


class Predictions(NamedTuple):
  """What a student, and its teacher, say about the same images.

  Attributes:
    student: `[N]` most likely classes.
    teacher: likewise, -1 where it gave no valid answer; None if no answer of it
      is known.
    kl: the mean of KL(teacher || student) in nats at temperature 1; None if
      the teacher's probabilities are not known.
  """

  student: np.ndarray
  teacher: np.ndarray | None = None
  kl: float | None = None


@jax.jit
def _predict_batch(
  classifier: Classifier,
  teacher: Classifier | None,
  images: Array,
  mask: Array,
) -> dict[str, Array]:
  images = to_float(images)
  logits = classifier(images).logits.astype(jnp.float32)
  values = {"student": logits.argmax(-1)}
  if teacher is not None:
    teacher_logits = teacher(images).logits.astype(jnp.float32)
    kl = optax.losses.kl_divergence_with_log_targets(
      jax.nn.log_softmax(logits), jax.nn.log_softmax(teacher_logits)
    )
    values["teacher"] = teacher_logits.argmax(-1)
    values["kl"] = jnp.where(mask, kl, 0).sum()
  return values


def predict(
  classifier: Classifier,
  images: Array | np.ndarray,
  *,
  teacher: Classifier | None = None,
  batch_size: int = 500,
) -> Predictions:
  """Predicts the classes of images, by a student and its teacher.

  The last batch is filled up and masked, so that the mean is exact and one
  compilation serves all batches and all later calls.

  Args:
    classifier: the student, in evaluation mode.
    images: `[N, H, W, C]`, uint8 or float in [0, 1]; at least one.
    teacher: the network to compare with.
    batch_size: images per dispatch.
  """
  count = len(images)
  batch_size = min(batch_size, count)
  batches = []
  for start in range(0, count, batch_size):
    rows = np.arange(start, start + batch_size)
    indices = np.minimum(rows, count - 1)
    batches.append(
      _predict_batch(classifier, teacher, images[indices], rows < count)
    )

  def joined(name: str) -> np.ndarray:
    return np.concatenate([batch[name] for batch in batches])[:count]

  if teacher is None:
    return Predictions(joined("student"))
  kl = sum(float(batch["kl"]) for batch in batches) / count
  return Predictions(joined("student"), joined("teacher"), kl)


def num_answered(predictions: Predictions | None) -> int:
  """Returns the number of images for which the teacher's class is known."""
  if predictions is None or predictions.teacher is None:
    return 0
  return int(np.count_nonzero(predictions.teacher >= 0))


def score(
  predictions: Predictions, labels: Array | np.ndarray
) -> dict[str, float]:
  """Returns the student's scores.

  Args:
    predictions: of the student, and of a teacher if there is one.
    labels: `[N]` true classes.

  Returns:
    `accuracy`, a fraction; with a teacher also `agreement`, the fraction of
    the images that it answered with the same most likely class, and `kl` as in
    `Predictions`.
  """
  student, teacher, kl = predictions
  scores = {"accuracy": float(np.mean(student == np.asarray(labels)))}
  if num_answered(predictions):
    scores["agreement"] = float(np.mean((student == teacher)[teacher >= 0]))
  if kl is not None:
    scores["kl"] = kl
  return scores


def evaluate(
  classifier: Classifier,
  images: Array | np.ndarray,
  labels: Array | np.ndarray,
  *,
  teacher: Classifier | None = None,
  batch_size: int = 500,
) -> dict[str, float]:
  """Measures a classifier's accuracy and, given a teacher, their agreement.

  Args:
    classifier: the network to evaluate, in evaluation mode.
    images: `[N, H, W, C]`, uint8 or float in [0, 1].
    labels: `[N]` true classes.
    teacher: the network to compare with.
    batch_size: images per dispatch.

  Returns:
    What `score` returns.

  Raises:
    JaxkdError: if there are no images, or not one label for each.
  """
  count = len(images)
  if not count or len(labels) != count:
    raise JaxkdError(
      f"There are {count} images and {len(labels)} labels to evaluate on; "
      "give at least one image, and one label for each."
    )
  predictions = predict(
    classifier, images, teacher=teacher, batch_size=batch_size
  )
  return score(predictions, labels)


def interval(fraction: float | None, count: int) -> tuple[float, float] | None:
  """Returns the 95 % interval of a fraction of independent images.

  It is Wilson's score interval (1927), which stays in [0, 1] and is not empty
  at 0 and 1.

  Args:
    fraction: of the images for which something is true, such as an accuracy;
      for a mean over several networks it says how far the images may mislead,
      and not how far the networks differ.
    count: number of images.

  Returns:
    The lower and the upper bound; None where the fraction is not known.

  >>> [round(bound, 4) for bound in interval(0.9881, 10_000)]
  [0.9858, 0.99]
  """
  if fraction is None or not count:
    return None
  spread = Z * math.sqrt(
    fraction * (1 - fraction) / count + (Z / count) ** 2 / 4
  )
  middle, scale = fraction + Z**2 / (2 * count), 1 + Z**2 / count
  return max(middle - spread, 0.0) / scale, min((middle + spread) / scale, 1.0)
