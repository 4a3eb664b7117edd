"""What an interface shows of logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.teachers.oracles import restrict_output

LOGITS = jnp.log(jnp.array([[0.4, 0.1, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]]))


def test_the_likeliest_are_told_and_the_rest_is_spread_evenly():
  found = jnp.exp(restrict_output(LOGITS + 3, "top_k", 2))
  expected = [[0.4, 0.15, 0.15, 0.3], [0.25] * 4]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_of_equals_no_more_than_k_are_told(top_k):
  # The three likeliest are equal; what is not told of them is spread.
  probs = jnp.array([0.28, 0.28, 0.28, 0.1, 0.06])
  found = jnp.exp(restrict_output(jnp.log(probs), "top_k", top_k))
  np.testing.assert_allclose(found[:top_k], 0.28, rtol=1e-5)
  rest = (1 - 0.28 * top_k) / (5 - top_k)
  np.testing.assert_allclose(found[top_k:], rest, rtol=1e-5)


def test_what_is_told_follows_the_access():
  probs = jax.nn.log_softmax(LOGITS)
  np.testing.assert_array_equal(restrict_output(LOGITS + 1, "label"), [0, 0])
  np.testing.assert_array_equal(restrict_output(LOGITS, "logits"), LOGITS)
  np.testing.assert_allclose(
    restrict_output(LOGITS + 1, "probs"), probs, atol=1e-6
  )
