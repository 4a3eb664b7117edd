"""What can be known of a student without data: how it follows the teacher on
synthetic samples that it was not trained on, and how good these are.
"""

from collections.abc import Sequence
import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.data import to_float
from jaxkd.data.labels import class_counts, hard_labels
from jaxkd.types import Array, Classifier, Samples

BINS = 15  # of confidence, as in Guo et al.
BATCH_SIZE = 500  # images per dispatch
FIELDS = (
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
  teacher_answers: Any,
  student: Classifier,
  samples: Samples,
  num_classes: int,
) -> dict[str, float | None]:
  """What held-out synthetic samples say.

  Args:
    teacher_answers: labels `[N]`, or log-probabilities `[N, K]` up to a
      constant.
    student: in evaluation mode.
    samples: samples of which `images [N, ...]` are looked at.
    num_classes: K.

  Returns:
    Shares unless a unit is given; None where there are no samples, or the
    teacher gives labels alone and it takes more.
      - `agreement`: of samples that student and teacher say the same of.
      - `kl`: mean KL(teacher || student) in nats.
      - `calibration_error`: expected difference between the student's
        confidence and its agreement with the teacher, in 15 bins (Guo et al.,
        "On Calibration of Modern Neural Networks", ICML 2017, section 2, with
        the teacher's answer as the truth).
      - `teacher_coverage`, `student_coverage`: classes that occur among the
        labels of either.
      - `answer_entropy`: of the teacher's mean answer, in nats;
        `answer_entropy_share`: of what K even classes would have.
      - `sample_entropy`: mean entropy of an answer, in nats.
      - `diversity`: mean squared distance of two images of one class, over that
        of any two; 0 where a class is one image, about 1 where the classes
        look alike, None where no class has two.
      - `duplicates`: images that equal an earlier one to the last bit.
  """
  count = len(samples.labels)
  if not count:
    return dict.fromkeys(FIELDS)
  soft = not jnp.issubdtype(teacher_answers.dtype, jnp.integer)
  sums = _sums(teacher_answers, student, samples.images, num_classes)
  found = {
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
    found |= {
      "kl": sums["kl"] / count,
      "answer_entropy": entropy,
      "answer_entropy_share": entropy / np.log(num_classes),
      "sample_entropy": sums["entropy"] / count,
    }
  values = {name: found.get(name) for name in FIELDS}
  return {k: None if v is None else float(v) for k, v in values.items()}


def duplicates(images: Any) -> float:
  """The share of images `[N, ...]` that equal an earlier one; N above 0."""
  seen = {
    hashlib.sha256(image.tobytes()).digest() for image in np.asarray(images)
  }
  return 1 - len(seen) / len(images)


def prediction(
  synthetic: float | None,
  real: float | None,
  pairs: Sequence[tuple[float | None, float | None]],
) -> dict[str, float | None]:
  """How well agreement on synthetic samples foretold what test data say.

  Args:
    synthetic: the student's agreement on held-out samples: the estimate.
    real: its agreement on test data.
    pairs: score on held-out samples and accuracy on test data of every student,
      or of every grid point.

  Returns:
    `estimate`, `agreement`, `gap` (estimate less agreement), and
    `rank_correlation`: Spearman's over the pairs; None with fewer than three,
    or where all of one kind are equal.
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
  answers: Any, student: Classifier, images: Any, num_classes: int
) -> dict[str, np.ndarray]:
  """Over all samples, in float64; the last batch is filled up and masked."""
  count = len(images)
  size = min(BATCH_SIZE, count)
  totals: dict[str, np.ndarray] = {}
  for start in range(0, count, size):
    rows = np.arange(start, start + size)
    taken = np.minimum(rows, count - 1)
    batch = _batch_sums(
      num_classes,
      student,
      images[taken],
      answers[taken],
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
  theirs = jax.nn.log_softmax(student(images).logits.astype(jnp.float32))
  labels, said = hard_labels(answers), theirs.argmax(-1)
  agree = mask * (said == labels)
  confidence = jnp.exp(theirs.max(-1))
  bins = jnp.clip(jnp.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
  # From any origin distances are the same; from one image, rounding is small.
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
    "student_counts": class_counts(jnp.where(mask, said, -1), num_classes),
    "images": per_class(shifted),
    "squares": per_class((shifted**2).sum(-1)),
  }
  if not jnp.issubdtype(answers.dtype, jnp.integer):
    log_probs = jax.nn.log_softmax(answers.astype(jnp.float32))
    probs = mask[:, None] * jnp.exp(log_probs)
    sums |= {
      "answer": probs.sum(0),
      "entropy": -_expected(probs, log_probs),
      "kl": _expected(probs, log_probs) - _expected(probs, theirs),
    }
  return sums


def _expected(probs: Array, log_probs: Array) -> Array:
  """The sum of p log q, where nothing comes of a p of 0."""
  return jnp.where(probs > 0, probs * log_probs, 0).sum()


def _diversity(sums: dict[str, np.ndarray]) -> float | None:
  counts, images, squares = (
    sums[name] for name in ("teacher_counts", "images", "squares")
  )
  within = _distances(counts, images, squares)
  pairs = (counts * (counts - 1)).sum()
  count = counts.sum()
  among = _distances(count, images.sum(0), squares.sum())
  if not pairs or among <= 0:
    return None
  return within.sum() / pairs / (among / (count * (count - 1)))


def _distances(count: Any, sums: np.ndarray, squares: Any) -> np.ndarray:
  """Squared distances over all ordered pairs, from the sums of the vectors and
  of their squared lengths: 2 n Σ|x|² - 2 |Σx|².
  """
  found = 2 * (count * squares - (sums**2).sum(-1))
  return np.maximum(found, 0)
