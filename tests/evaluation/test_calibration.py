"""The calibration error is the mean distance of confidence and accuracy."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.evaluation import calibration
from jaxkd.models import from_function


def test_the_error_is_a_mean_over_bins():
  confidence = np.array([1.0, 1.0, 0.7, 0.69, 0.69])
  right = np.array([True, False, True, True, True])
  # Two bins: 0.5 too sure for 2 images, 0.92 too unsure in sum for 3.
  expected = (2 * 0.5 + (0.3 + 0.31 + 0.31)) / 5
  error = calibration.expected_error(confidence, right)
  assert error == pytest.approx(expected)


def test_a_classifier_that_is_always_sure_errs_as_often_as_it_is_wrong():
  sure = from_function(lambda scale, images: scale * images, 100.0)
  images, labels = jnp.eye(4), np.array([0, 1, 2, 0])
  error = calibration.calibration_error(sure, images, labels)
  assert error == pytest.approx(0.25)
  assert calibration.calibration_error(sure, images[:0], labels[:0]) is None
