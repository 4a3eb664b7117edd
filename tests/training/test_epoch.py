"""How the samples of an epoch lie in memory."""

import jax.numpy as jnp

from jaxkd.training import epoch


def test_only_narrow_images_become_rows_of_a_matrix():
  small, large = jnp.zeros((2, 32, 32, 3)), jnp.zeros((2, 2, 128, 3))
  assert epoch.as_rows(small).shape == (2, 3072)
  assert epoch.as_rows(large).shape == large.shape
