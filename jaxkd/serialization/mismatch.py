"""Finds out why a network does not answer a probe as expected.

The usual causes of `jaxkd.serialization.mismatch_causes` are tried in order. A
cause is named if undoing it brings the difference within the tolerance, or
below a hundredth of what it was.
"""

from jax.nn import log_softmax, logsumexp, sigmoid, softmax
import numpy as np

from jaxkd.models.network_outputs import MIN_PROBABILITY
from jaxkd.serialization.answers import answer
from jaxkd.serialization.mismatch_causes import CAUSE_NAMES, usual_causes
from jaxkd.types import Classifier


def difference(answers: np.ndarray, expected: np.ndarray) -> float:
  """Returns the largest difference of answers and expected logits `[N, K]`.

  If the expected rows are log-probabilities, log-probabilities are compared.
  """
  if are_log_probabilities(expected):
    floor = np.log(MIN_PROBABILITY)
    answers = np.maximum(log_softmax(answers, -1), floor)
    expected = np.maximum(expected, floor)
  return float(np.abs(answers - expected).max())


def sigmoid_difference(answers: np.ndarray, expected: np.ndarray) -> float:
  """Returns the largest difference of the sigmoids of logits `[N, K]`; of one
  number for two classes, whose first logit is 0, of the probabilities.
  """
  apply = sigmoid if expected[:, 0].any() else softmax
  return float(np.abs(apply(answers) - apply(expected)).max())


def are_probabilities(rows: np.ndarray) -> bool:
  """Returns whether all values are non-negative and each row sums to 1."""
  return bool((rows >= 0).all() and np.allclose(rows.sum(-1), 1, atol=1e-3))


def are_log_probabilities(rows: np.ndarray) -> bool:
  """Returns whether all rows are logarithms of probabilities."""
  normal = np.allclose(logsumexp(rows, -1), 0, atol=1e-3)
  return bool((rows <= 1e-6).all() and normal)


def to_logits(probabilities: np.ndarray) -> np.ndarray:
  """Returns finite logits of probabilities."""
  return np.log(np.clip(probabilities, MIN_PROBABILITY, 1))


def explain(
  classifier: Classifier, images: np.ndarray, logits: np.ndarray, limit: float
) -> str:
  """Names the cause of a mismatch and its remedy, or the causes it tried.

  Args:
    classifier: the network that does not answer as expected.
    images: images of the probe, `[N, H, W, C]`.
    logits: expected logits `[N, K]`.
    limit: the tolerance.
  """
  answers = answer(classifier, images)
  prefix = ""
  if are_probabilities(answers):
    same = difference(answers, logits) <= limit
    expected = log_softmax(logits, -1)
    if same or difference(to_logits(answers), expected) <= limit:
      return (
        "Softmax is already applied by the network: set "
        "--output_kind=probabilities, and store probabilities in the probe."
      )
  if are_probabilities(logits):
    logits = to_logits(logits)
    prefix = (
      "Softmax is already applied to the expected answers: set "
      "--output_kind=probabilities, or store logits. "
    )
    if difference(answers, logits) <= limit:
      return prefix.strip()
  before = difference(answers, logits)
  for cause in usual_causes(classifier, images):
    after = difference(cause.answer(), logits)
    if after <= limit or after < before / 100:
      return (
        f"{prefix}{cause.description} (the difference is then {after:.2g})."
      )
  return (
    f"{prefix}None of the usual causes fits ({CAUSE_NAMES}); check that the "
    "file and --model are the right ones."
  )
