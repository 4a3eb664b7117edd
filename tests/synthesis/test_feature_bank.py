"""The ring of features, and the contrast with what is in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import feature_bank


def filled(places, *batches):
  bank = feature_bank.empty(places, 1)
  for batch in batches:
    pairs = jnp.asarray(batch, jnp.float32)[:, None, None] * jnp.ones((2, 1))
    bank = feature_bank.insert(bank, pairs)
  return bank


def test_the_oldest_make_room():
  bank = filled(5, [1, 2, 3], [4, 5, 6], [7])
  np.testing.assert_array_equal(bank.pairs[:, 0, 0], [6, 7, 3, 4, 5])
  np.testing.assert_array_equal(bank.pairs[:, 0], bank.pairs[:, 1])
  assert int(bank.inserted) == 7


def test_drawn_ones_differ_and_missing_ones_are_marked():
  bank = filled(5, [1, 2, 3])
  sample = jax.jit(feature_bank.sample, static_argnums=2)
  pairs, there = sample(bank, jax.random.key(0), 4)
  assert list(there) == [True, True, True, False]
  assert sorted(pairs[:3, 0, 0].tolist()) == [1, 2, 3]
  orders = {
    tuple(sample(bank, jax.random.key(seed), 2)[0][:, 0, 0].tolist())
    for seed in range(30)
  }
  assert len(orders) == 6  # any two of three, in any order
  assert not sample(filled(5), jax.random.key(0), 4)[1].any()


@jax.jit
def contrast(pairs, kept=None, there=None, temperature=0.5):
  """Without projection; rows are taken to have unit length."""
  if kept is None:
    kept, there = jnp.zeros((1, *pairs.shape[1:])), jnp.zeros(1, bool)
  return feature_bank.info_nce_term(
    lambda x: x, pairs, kept, there, temperature
  )


def twins(rows):
  """Both views of an image have the same features."""
  return jnp.stack([rows, rows], axis=1)


@pytest.mark.parametrize("count", [2, 5])
def test_orthonormal_features_in_closed_form(count):
  """-ln(e^(1/t) / (e^(1/t) + N - 1)), and no more for what is not there."""
  own = np.exp(1 / 0.5)
  expected = -np.log(own / (own + count - 1))
  result = contrast(twins(jnp.eye(5)[:count]))
  assert float(result) == pytest.approx(expected, rel=1e-5)


def test_kept_images_are_candidates_and_have_a_mean_of_their_own():
  own = np.exp(1 / 0.5)
  pairs, kept = twins(jnp.eye(6)[:2]), twins(jnp.eye(6)[2:])
  there = jnp.array([True, True, False, True])
  each = -np.log(own / (own + 5 - 1))
  assert float(contrast(pairs, kept, there)) == pytest.approx(
    2 * each, rel=1e-5
  )


def test_the_positive_is_the_other_view_of_the_same_image():
  rows = jnp.eye(3)
  swapped = jnp.stack([rows, rows[jnp.array([1, 2, 0])]], axis=1)
  assert contrast(swapped) > contrast(twins(rows)) + 1


def test_the_global_views_get_no_gradient():
  pairs = jax.random.normal(jax.random.key(0), (4, 2, 3))
  slope = jax.jit(jax.grad(contrast))(pairs)
  assert not slope[:, 1].any()
  assert np.abs(slope[:, 0]).min() > 0


def test_what_is_not_there_changes_nothing():
  pairs = jax.random.normal(jax.random.key(0), (4, 2, 3))
  kept = jax.random.normal(jax.random.key(1), (5, 2, 3))
  nothing = jnp.zeros(5, bool)
  value_and_slope = jax.jit(jax.value_and_grad(contrast))
  value, slope = value_and_slope(pairs, kept, nothing)
  alone = value_and_slope(pairs)
  np.testing.assert_allclose(value, alone[0], rtol=1e-6)
  np.testing.assert_allclose(slope, alone[1], atol=1e-6)


def test_projections_have_length_one():
  head = feature_bank.ProjectionHead(7)
  features = 100 * jax.random.normal(jax.random.key(0), (4, 2, 3))
  variables = jax.jit(head.init)(jax.random.key(1), features)
  result = jax.jit(head.apply)(variables, features)
  assert result.shape == (4, 2, 7)
  np.testing.assert_allclose(jnp.linalg.norm(result, axis=-1), 1.0, rtol=1e-5)
