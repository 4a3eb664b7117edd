"""How far the confidence of answers is from how often they are right."""

import jax.numpy as jnp
import numpy as np

from jaxkd.evaluation.data_free_metrics import BINS
from jaxkd.evaluation.predictions import predict_log_probs
from jaxkd.types import Array, Classifier


def calibration_error(
  classifier: Classifier, images: Array | np.ndarray, labels: np.ndarray
) -> float | None:
  """Returns a classifier's expected calibration error, a fraction.

  That is Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
  section 3, in 15 bins: the mean over the images of the distance between the
  confidence in the likeliest class and the accuracy, both of their bin.

  Args:
    classifier: the network, in evaluation mode.
    images: `[N, ...]`, uint8 or float in pixel space.
    labels: `[N]` true classes.

  Returns:
    The error; None without images.
  """
  if not len(labels):
    return None
  answers = np.asarray(predict_log_probs(classifier, jnp.asarray(images)))
  right = answers.argmax(-1) == np.asarray(labels)
  return expected_error(np.exp(answers.max(-1).astype(np.float64)), right)


def expected_error(confidence: np.ndarray, right: np.ndarray) -> float:
  """Returns the expected error of confidences `[N]`, N > 0.

  Args:
    confidence: probabilities of the predicted classes.
    right: `[N]` whether each prediction is the true class.

  >>> expected_error(np.array([0.75, 0.75]), np.array([True, False]))
  0.25
  """
  bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS)
  excess = np.bincount(bins, confidence - right)
  return float(np.abs(excess).sum() / len(right))
