"""Why a network does not answer as its owner's did: the usual causes, tried one
after the other.

A cause fits if the difference falls within the tolerance, or below a hundredth
of what it was, once it is undone.
"""

from jax.nn import log_softmax, logsumexp
import numpy as np

from jaxkd.serialization.mismatch_causes import NAMES, answer, usual
from jaxkd.types import Classifier

LEAST_PROBABILITY = 1e-12  # whose logarithm is taken in place of log 0


def difference(found: np.ndarray, expected: np.ndarray) -> float:
  """The largest difference of two `[N, K]`; of log-probabilities where the
  expected rows are such.
  """
  if are_log_probabilities(expected):
    floor = np.log(LEAST_PROBABILITY)
    found = np.maximum(log_softmax(found, -1), floor)
    expected = np.maximum(expected, floor)
  return float(np.abs(found - expected).max())


def are_probabilities(rows: np.ndarray) -> bool:
  """Whether no value is negative, and each row sums to 1."""
  return bool((rows >= 0).all() and np.allclose(rows.sum(-1), 1, atol=1e-3))


def are_log_probabilities(rows: np.ndarray) -> bool:
  """Whether they are logarithms of probabilities."""
  normal = np.allclose(logsumexp(rows, -1), 0, atol=1e-3)
  return bool((rows <= 1e-6).all() and normal)


def logarithm(probabilities: np.ndarray) -> np.ndarray:
  """Finite logits of these probabilities."""
  return np.log(np.clip(probabilities, LEAST_PROBABILITY, 1))


def explain(
  classifier: Classifier, images: np.ndarray, logits: np.ndarray, limit: float
) -> str:
  """The cause that fits and what mends it, or that none of the usual does.

  Args:
    classifier: that does not answer as expected.
    images: `[N, H, W, C]` that it was asked about.
    logits: `[N, K]` that were expected.
    limit: the tolerance.
  """
  found = answer(classifier, images)
  words = ""
  if are_probabilities(found):
    same = difference(found, logits) <= limit
    expected = log_softmax(logits, -1)
    if same or difference(logarithm(found), expected) <= limit:
      return (
        "Softmax is already applied by the network: say "
        "--outputs=probabilities, and store probabilities in the probe."
      )
  if are_probabilities(logits):
    logits = logarithm(logits)
    words = (
      "Softmax is already applied to the expected answers: say "
      "--outputs=probabilities, or store logits. "
    )
    if difference(found, logits) <= limit:
      return words.strip()
  before = difference(found, logits)
  for cause in usual(classifier, images):
    after = difference(cause.answer(), logits)
    if after <= limit or after < before / 100:
      return f"{words}{cause.words} (off by {after:.2g} then)."
  return (
    f"{words}None of the usual causes fits ({NAMES}); is it the right file, "
    "the right --model?"
  )
