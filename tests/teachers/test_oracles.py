"""Tests of what interfaces of each access return for given logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.teachers.oracles import restrict_output

LOGITS = jnp.log(jnp.array([[0.4, 0.1, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]]))


def test_top_k_keeps_the_likeliest_and_spreads_the_rest_evenly():
  restricted = jnp.exp(restrict_output(LOGITS + 3, "top_k", 2))
  expected = [[0.4, 0.15, 0.15, 0.3], [0.25] * 4]
  np.testing.assert_allclose(restricted, expected, rtol=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_top_k_keeps_k_classes_of_equal_probability(top_k):
  # The three likeliest are equal; those beyond k get a share of the rest.
  probs = jnp.array([0.28, 0.28, 0.28, 0.1, 0.06])
  restricted = jnp.exp(restrict_output(jnp.log(probs), "top_k", top_k))
  np.testing.assert_allclose(restricted[:top_k], 0.28, rtol=1e-5)
  rest = (1 - 0.28 * top_k) / (5 - top_k)
  np.testing.assert_allclose(restricted[top_k:], rest, rtol=1e-5)


def test_each_access_returns_labels_log_probabilities_or_logits():
  probs = jax.nn.log_softmax(LOGITS)
  np.testing.assert_array_equal(restrict_output(LOGITS + 1, "label"), [0, 0])
  np.testing.assert_array_equal(restrict_output(LOGITS, "logits"), LOGITS)
  np.testing.assert_allclose(
    restrict_output(LOGITS + 1, "probs"), probs, atol=1e-6
  )
