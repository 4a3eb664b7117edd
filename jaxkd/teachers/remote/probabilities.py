"""Probabilities as servers give them: rounded, cut off, or none at all."""

import numpy as np

from jaxkd.errors import JaxkdError

FLOOR = 1e-12  # smallest probability whose logarithm is taken
# How far the sum of K probabilities may be from 1 if they have many decimals;
# with few it follows from their number.
TOLERANCE, ROUNDING, MAX_TOLERANCE = 1e-3, 0.005, 0.1
MAX_DECIMALS = 4


def log_probs(probs: np.ndarray) -> np.ndarray:
  """Computes float32 logarithms of probabilities `[K]`.

  Sums that differ from 1 by rounding are normalised. How much that may be
  follows from the decimals that the numbers have, so that one server's answers
  are all taken or none: K numbers of one decimal may sum to 1 - K / 10 if they
  were cut off, and to 1 + K / 20 if they were rounded.

  Raises:
    JaxkdError: if a number is negative, or the sum differs by more.
  """
  total, size = probs.sum(), probs.size
  low = high = max(TOLERANCE, min(ROUNDING * size, MAX_TOLERANCE))
  if (probs <= 1 + TOLERANCE).all():
    unit = _rounding_unit(probs)
    low, high = max(low, unit * size), max(high, unit / 2 * size)
  if (probs < 0).any() or not -low - 1e-9 <= total - 1 <= high + 1e-9:
    raise JaxkdError(
      f"The reply holds scores that are not probabilities: they go from "
      f"{probs.min():g} to {probs.max():g}, and a sum differs from 1 by "
      f"{abs(total - 1):g}; set teacher.output_kind=logits or sigmoid, or "
      "teacher.access=label."
    )
  if not total:  # all are rounded to 0
    return np.full(size, -np.log(size), np.float32)
  return np.log(np.maximum(probs / total, FLOOR)).astype(np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
  """Computes float32 logarithms of the probabilities of logits `[K]`."""
  shifted = logits - logits.max()
  return (shifted - np.log(np.exp(shifted).sum())).astype(np.float32)


def logits_of_sigmoids(sigmoids: np.ndarray) -> np.ndarray:
  """Computes the logits whose sigmoids are given, `[K]`.

  Raises:
    JaxkdError: if a number is not in [0, 1].
  """
  if not (sigmoids.min() >= 0 and sigmoids.max() <= 1):
    raise JaxkdError(
      f"The reply holds scores from {sigmoids.min():g} to {sigmoids.max():g}, "
      "which are no sigmoids; set teacher.output_kind=logits."
    )
  off = np.log(np.maximum(1 - sigmoids, FLOOR))
  return (np.log(np.maximum(sigmoids, FLOOR)) - off).astype(np.float32)


def _rounding_unit(probs: np.ndarray) -> float:
  """Returns the step that numbers were rounded to, 0 if to none of few digits.

  >>> _rounding_unit(np.array([0.1, 0.25]))
  0.01
  """
  for decimals in range(1, MAX_DECIMALS + 1):
    scaled = probs * 10.0**decimals
    if np.abs(scaled - scaled.round()).max() < 1e-3:
      return 10.0**-decimals
  return 0.0


def sums_to_one(numbers: np.ndarray) -> bool:
  """Returns whether probabilities need no normalisation."""
  return numbers.size == 1 or abs(numbers.sum() - 1) <= TOLERANCE
