"""Metrics of a student on held-out synthetic samples, which need no data."""

from collections.abc import Sequence
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data import to_float
from jaxkd.data.labels import class_counts, hard_labels
from jaxkd.types import Array, Classifier, Samples

BINS = 15  # of confidence, as in Guo et al.
BATCH_SIZE = 500  # images per dispatch
METRICS = (
  "agreement",
  "kl",
  "calibration_error",
  "teacher_coverage",
  "student_coverage",
  "answer_entropy",
  "answer_entropy_share",
  "sample_entropy",
  "diversity",
  "duplicates",
)


def measure(
  teacher_answers: Array,
  student: Classifier,
  samples: Samples,
  num_classes: int,
) -> dict[str, float | None]:
  """Measures a student and the images on held-out synthetic samples.

  Args:
    teacher_answers: labels `[N]`, or log-probabilities `[N, K]` up to a
      constant.
    student: the student, in evaluation mode.
    samples: held-out samples, of which only `images [N, ...]` are used.
    num_classes: K.

  Returns:
    Fractions unless a unit is given; None without samples, and for metrics that
    need probabilities of a teacher that answers with labels.
      - `agreement`: samples for which student and teacher predict one class.
      - `kl`: mean KL(teacher || student) in nats.
      - `calibration_error`: expected difference between the student's
        confidence and its agreement with the teacher, in 15 bins (Guo et al.,
        "On Calibration of Modern Neural Networks", ICML 2017, section 2, with
        the teacher's answer as the label).
      - `teacher_coverage`, `student_coverage`: classes that the teacher, or the
        student, predicts for any sample.
      - `answer_entropy`: entropy of the teacher's mean answer, in nats;
        `answer_entropy_share`: the same as a fraction of ln K.
      - `sample_entropy`: mean entropy of an answer, in nats.
      - `diversity`: mean squared distance of two images of one class, over that
        of any two images; 0 where all images of a class are equal, about 1
        where classes do not differ, None where no class has two images.
      - `duplicates`: images that equal an earlier one exactly.
  """
  count = len(samples.labels)
  if not count:
    return dict.fromkeys(METRICS)
  soft = not jnp.issubdtype(teacher_answers.dtype, jnp.integer)
  sums = _sums(teacher_answers, student, samples.images, num_classes)
  metrics = {
    "agreement": sums["agree"] / count,
    "calibration_error": np.abs(sums["overconfidence"]).sum() / count,
    "teacher_coverage": np.mean(sums["teacher_counts"] > 0),
    "student_coverage": np.mean(sums["student_counts"] > 0),
    "diversity": _diversity(sums),
    "duplicates": duplicates(samples.images),
  }
  if soft:
    mean_answer = sums["answer"] / count
    likely = mean_answer[mean_answer > 0]
    entropy = -(likely * np.log(likely)).sum()
    metrics |= {
      "kl": sums["kl"] / count,
      "answer_entropy": entropy,
      "answer_entropy_share": entropy / np.log(num_classes),
      "sample_entropy": sums["entropy"] / count,
    }
  values = {name: metrics.get(name) for name in METRICS}
  return {k: None if v is None else float(v) for k, v in values.items()}


def duplicates(images: Array | np.ndarray) -> float:
  """Returns the fraction of `N > 0` images that equal an earlier one."""
  distinct = {
    hashlib.sha256(image.tobytes()).digest() for image in np.asarray(images)
  }
  return 1 - len(distinct) / len(images)


def prediction(
  synthetic: float | None,
  real: float | None,
  pairs: Sequence[tuple[float | None, float | None]],
) -> dict[str, float | None]:
  """Compares agreement on synthetic samples with results on test data.

  Args:
    synthetic: the student's agreement on held-out samples, the estimate.
    real: its agreement on test data.
    pairs: score on held-out samples and accuracy on test data of every student,
      or of every grid point.

  Returns:
    `estimate`, `agreement`, `gap` (estimate minus agreement), and
    `rank_correlation`: Spearman's over the pairs; None for fewer than three
    pairs, or if all scores or all accuracies are equal.
  """
  known = synthetic is not None and real is not None
  return {
    "estimate": synthetic,
    "agreement": real,
    "gap": synthetic - real if known else None,
    "rank_correlation": _rank_correlation(pairs),
  }


def _rank_correlation(
  pairs: Sequence[tuple[float | None, float | None]],
) -> float | None:
  if len(pairs) < 3 or any(None in pair for pair in pairs):
    return None
  columns = np.array(pairs).T
  if (np.ptp(columns, axis=1) == 0).any():
    return None
  from scipy import stats  # slow to import

  return float(stats.spearmanr(*columns).statistic)


def _sums(
  answers: Array, student: Classifier, images: Array, num_classes: int
) -> dict[str, np.ndarray]:
  """Sums over all samples in float64."""
  count = len(images)
  size = min(BATCH_SIZE, count)
  totals: dict[str, np.ndarray] = {}
  for start in range(0, count, size):
    rows = np.arange(start, start + size)
    indices = np.minimum(rows, count - 1)
    batch = _batch_sums(
      num_classes,
      student,
      images[indices],
      answers[indices],
      rows < count,
      images[0],
    )
    for name, value in jax.device_get(batch).items():
      totals[name] = totals.get(name, 0) + value.astype(np.float64)
  return totals


@functools.partial(jax.jit, static_argnums=0)
def _batch_sums(
  num_classes: int,
  student: Classifier,
  images: Array,
  answers: Array,
  mask: Array,
  origin: Array,
) -> dict[str, Array]:
  images = to_float(images)
  logits = student(images).logits.astype(jnp.float32)
  student_log_probs = jax.nn.log_softmax(logits)
  labels, predictions = hard_labels(answers), student_log_probs.argmax(-1)
  agree = mask * (predictions == labels)
  confidence = jnp.exp(student_log_probs.max(-1))
  bins = jnp.clip(jnp.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
  # Distances do not depend on the origin; with an image rounding is small.
  shifted = (images - to_float(origin)).reshape(len(images), -1)
  shifted = jnp.where(mask[:, None], shifted, 0)

  def per_class(values: Array) -> Array:
    return jax.ops.segment_sum(values, labels, num_classes)

  sums = {
    "agree": agree.sum(),
    "overconfidence": jax.ops.segment_sum(
      mask * confidence - agree, bins, BINS
    ),
    "teacher_counts": class_counts(jnp.where(mask, labels, -1), num_classes),
    "student_counts": class_counts(
      jnp.where(mask, predictions, -1), num_classes
    ),
    "images": per_class(shifted),
    "squares": per_class((shifted**2).sum(-1)),
  }
  if not jnp.issubdtype(answers.dtype, jnp.integer):
    log_probs = jax.nn.log_softmax(answers.astype(jnp.float32))
    probs = mask[:, None] * jnp.exp(log_probs)
    sums |= {
      "answer": probs.sum(0),
      "entropy": -_expected(probs, log_probs),
      "kl": _expected(probs, log_probs) - _expected(probs, student_log_probs),
    }
  return sums


def _expected(probs: Array, log_probs: Array) -> Array:
  """Sums p log q, with 0 where p is 0."""
  return jnp.where(probs > 0, probs * log_probs, 0).sum()


def _diversity(sums: dict[str, np.ndarray]) -> float | None:
  counts, images, squares = (
    sums[name] for name in ("teacher_counts", "images", "squares")
  )
  within = _distances(counts, images, squares)
  pairs = (counts * (counts - 1)).sum()
  count = counts.sum()
  overall = _distances(count, images.sum(0), squares.sum())
  if not pairs or overall <= 0:
    return None
  return within.sum() / pairs / (overall / (count * (count - 1)))


def _distances(
  count: np.ndarray, sums: np.ndarray, squares: np.ndarray
) -> np.ndarray:
  """Sums the squared distances of all ordered pairs: 2 n Σ|x|² - 2 |Σx|².

  Args:
    count: n, number of vectors.
    sums: Σx, sum of the vectors.
    squares: Σ|x|², sum of their squared lengths.
  """
  return np.maximum(2 * (count * squares - (sums**2).sum(-1)), 0)
