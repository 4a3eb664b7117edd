"""The weights of classifiers, to compare runs by."""

import jax
import numpy as np


def weights(classifier):
  return jax.tree.leaves(jax.device_get(classifier.variables))


def same(a, b):
  """Both have the same weights, bit for bit."""
  for found, expected in zip(weights(a), weights(b), strict=True):
    np.testing.assert_array_equal(found, expected)
