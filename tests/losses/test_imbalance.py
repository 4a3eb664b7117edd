"""Class-balanced losses: values computed by hand, limits and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.losses import class_balanced_focal_loss, ldam_loss


def normal(seed, shape):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


K = 4
LOGITS = normal(0, (3, K))
LABELS = jnp.array([0, 2, 3])
ONEHOT = jax.nn.one_hot(LABELS, K)
COUNTS = jnp.array([16, 81, 1, 256])
EQUAL = jnp.full(K, 50)


def cross_entropy(logits):
  return -(ONEHOT * jax.nn.log_softmax(logits)).sum(-1)


def binary_cross_entropy(logits):
  evidence = jnp.where(ONEHOT > 0, logits, -logits)
  return -jax.nn.log_sigmoid(evidence).sum(-1)


def assert_close(a, b, **tolerance):
  np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def test_ldam_by_hand():
  # Margins .5 (1 / n)^(1/4): .25, 1/6, .5, .125.
  value = ldam_loss(LOGITS, LABELS, class_counts=COUNTS, scale=2.0)
  margins = jnp.array([0.25, 0.5, 0.125])[:, None]
  assert_close(value, cross_entropy(2 * (LOGITS - margins * ONEHOT)))


def test_ldam_of_equal_counts_has_one_margin():
  value = ldam_loss(
    LOGITS, LABELS, class_counts=EQUAL, max_margin=0.3, scale=1.0
  )
  assert_close(value, cross_entropy(LOGITS - 0.3 * ONEHOT))


def test_ldam_without_margin_and_scale_is_cross_entropy():
  value = ldam_loss(
    LOGITS, LABELS, class_counts=COUNTS, max_margin=0.0, scale=1.0
  )
  assert_close(value, cross_entropy(LOGITS))


def test_ldam_gradient():
  loss = lambda z: ldam_loss(z, LABELS, class_counts=COUNTS, scale=2.0).sum()
  margins = jnp.array([0.25, 0.5, 0.125])[:, None]
  probs = jax.nn.softmax(2 * (LOGITS - margins * ONEHOT))
  assert_close(jax.grad(loss)(LOGITS), 2 * (probs - ONEHOT))


def test_focal_by_hand():
  # beta = 1/2: weights 1 : 2/3 of counts 1 and 2, scaled to 6/5 and 4/5.
  value = class_balanced_focal_loss(
    jnp.array([math.log(3.0), 0.0]),
    jnp.array(1),
    class_counts=jnp.array([1, 2]),
    beta=0.5,
    gamma=1.0,
  )
  first = 0.75 * math.log(4)  # the wrong class, with p = 1/4
  assert_close(value, 0.8 * (first + 0.5 * math.log(2)))


@pytest.mark.parametrize(
  ("counts", "beta"), [(EQUAL, 0.9999), (COUNTS, 0.0)], ids=["equal", "zero"]
)
def test_focal_without_weights_and_gamma_is_binary_cross_entropy(counts, beta):
  value = class_balanced_focal_loss(
    LOGITS, LABELS, class_counts=counts, beta=beta, gamma=0.0
  )
  assert_close(value, binary_cross_entropy(LOGITS))


def test_focal_weights_are_inverse_counts_as_beta_nears_one():
  value = class_balanced_focal_loss(
    LOGITS, LABELS, class_counts=COUNTS, beta=1 - 1e-9, gamma=0.0
  )
  weights = 1 / COUNTS
  weights = (weights / weights.mean())[LABELS]
  assert_close(value, weights * binary_cross_entropy(LOGITS))


def test_focal_keeps_the_digits_of_the_published_beta():
  counts = np.array([5000, 50, 7, 900])
  weights = (1 - 0.9999) / (1 - 0.9999**counts)
  weights = (weights / weights.mean())[np.asarray(LABELS)]
  value = class_balanced_focal_loss(
    LOGITS, LABELS, class_counts=jnp.asarray(counts), beta=0.9999, gamma=0.0
  )
  assert_close(value, weights * binary_cross_entropy(LOGITS), rtol=2e-6)


def test_focal_gradient():
  gamma = 2.0
  loss = lambda z: class_balanced_focal_loss(
    z, LABELS, class_counts=EQUAL, gamma=gamma
  ).sum()
  sign = 2 * ONEHOT - 1
  p = jax.nn.sigmoid(sign * LOGITS)
  slope = gamma * p * (1 - p) ** gamma * jnp.log(p) - (1 - p) ** (gamma + 1)
  assert_close(jax.grad(loss)(LOGITS), sign * slope)


@pytest.mark.parametrize("loss", [ldam_loss, class_balanced_focal_loss])
def test_a_class_without_samples_is_treated_as_one_of_1(loss):
  empty, one = jnp.array([9, 3, 0, 5]), jnp.array([9, 3, 1, 5])
  value = loss(LOGITS, LABELS, class_counts=empty)
  assert jnp.isfinite(value).all()
  assert_close(value, loss(LOGITS, LABELS, class_counts=one))
