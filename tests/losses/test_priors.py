"""Image priors: values computed by hand, properties and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.losses import (
  activation_loss,
  batch_norm_loss,
  class_balance_loss,
  entropy_loss,
  total_variation,
)


def normal(seed, shape):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


K = 5
LOGITS = normal(0, (4, K))


def assert_close(a, b, **tolerance):
  np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def test_total_variation_by_hand():
  image = jnp.array([[0.0, 3.0], [1.0, 1.0], [1.0, 4.0]])[..., None]
  vertical, horizontal = (1 + 2 + 0 + 3) / 4, (3 + 0 + 3) / 3
  assert_close(total_variation(image), vertical + horizontal)


def test_total_variation_of_constants_and_of_single_rows():
  constant = jnp.full((2, 3, 4, 4, 3), 0.7)
  assert not total_variation(constant).any()
  row = jnp.arange(4.0).reshape(1, 4, 1)
  assert total_variation(row) == 1.0
  assert total_variation(row[:, :1]) == 0.0


def test_total_variation_gradient_is_signs_over_counts():
  image = jnp.array([[0.0, 3.0], [1.0, 1.0], [1.0, 4.0]])[..., None]
  vertical = jnp.array([[-1.0, 1.0], [1.0, -2.0], [0.0, 1.0]]) / 4
  horizontal = jnp.array([[-1.0, 1.0], [0.0, 0.0], [-1.0, 1.0]]) / 3
  expected = (vertical + horizontal)[..., None]
  assert_close(jax.grad(total_variation)(image), expected)


def test_class_balance_by_hand():
  # q = (5/8, 3/8)
  logits = jnp.log(jnp.array([[0.5, 0.5], [0.75, 0.25]]))
  expected = (5 / 8 * math.log(5 / 8) + 3 / 8 * math.log(3 / 8)) / 2
  assert_close(class_balance_loss(logits), expected)


def test_class_balance_is_least_for_balanced_one_hots():
  least = -math.log(K) / K
  assert_close(class_balance_loss(1e4 * jnp.eye(K)), least)
  assert class_balance_loss(LOGITS) > least
  assert class_balance_loss(1e4 * jnp.eye(K)[:1]) == 0.0


def test_class_balance_gradient():
  p = jax.nn.softmax(LOGITS)
  log_q = jnp.log(p.mean(0))
  expected = p * (log_q - (p * log_q).sum(-1, keepdims=True)) / (4 * K)
  assert_close(jax.grad(class_balance_loss)(LOGITS), expected)


def test_entropy_by_hand_differs_from_class_balance():
  logits = jnp.log(jnp.array([[0.5, 0.5], [0.75, 0.25]]))
  second = (0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 2
  assert_close(entropy_loss(logits), [-math.log(2) / 2, second])
  assert entropy_loss(logits).mean() > class_balance_loss(logits)


def test_entropy_gradient():
  log_p = jax.nn.log_softmax(LOGITS)
  p = jnp.exp(log_p)
  expected = p * (log_p - (p * log_p).sum(-1, keepdims=True)) / K
  assert_close(
    jax.grad(lambda z: entropy_loss(z).sum())(LOGITS), expected, rtol=1e-4
  )


def test_ideal_confidence_penalty_has_its_published_optimum():
  # CE + 5 entropy_loss is stationary at p_y = .6789 for ten classes.
  p = 0.6789
  logits = jnp.log(jnp.array([p] + [(1 - p) / 9] * 9))
  loss = lambda z: 5 * entropy_loss(z) - jax.nn.log_softmax(z)[0]
  assert_close(jax.grad(loss)(logits), np.zeros(10), atol=1e-4)


def test_batch_norm_by_hand():
  layers = {"first": jnp.zeros(2), "second": jnp.zeros(1)}
  means = {"first": jnp.array([3.0, 4.0]), "second": jnp.array([-2.0])}
  variances = {"first": jnp.array([0.0, 1.0]), "second": jnp.array([6.0])}
  assert batch_norm_loss(means, variances, layers, layers) == 5 + 2 + 1 + 6


def test_batch_norm_refuses_other_layers():
  one = [jnp.zeros(2)]
  with pytest.raises(AssertionError):
    batch_norm_loss(one, one, one, [jnp.zeros(3)])


def test_batch_norm_gradient_is_a_unit_vector_or_zero():
  stored = [jnp.ones(2)]
  gradient = jax.grad(lambda m: batch_norm_loss([m], stored, stored, stored))
  assert_close(gradient(jnp.array([4.0, 5.0])), [0.6, 0.8])
  assert not gradient(jnp.ones(2)).any()


def test_activation_by_hand_with_gradient():
  features = jnp.array([[1.0, -3.0], [0.0, 4.0]])
  assert activation_loss(features) == -2.0
  expected = [[-0.25, 0.25], [0.0, -0.25]]
  assert_close(jax.grad(activation_loss)(features), expected)


def test_activation_grows_with_the_scale():
  assert_close(activation_loss(10 * LOGITS), 10 * activation_loss(LOGITS))
