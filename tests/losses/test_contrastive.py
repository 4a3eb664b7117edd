"""Contrastive losses: values computed by hand, properties and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.losses import (
  contrastive_loss,
  grouped_contrastive_loss,
  instance_discrimination_loss,
)


def normal(seed, shape):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


LOGITS = normal(0, (6, 4))
LABELS = jnp.array([0, 1, 1, 3, 3, 3])
GROUPS = normal(1, (5, 3, 4))


def assert_close(a, b, **tolerance):
  np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def test_contrastive_by_hand():
  # Pairs of classes 0 and 1: 1 + 4 and 9 + 0; the pair inside class 1 is not
  # counted.
  logits = jnp.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
  assert_close(contrastive_loss(logits, jnp.array([0, 1, 1])), (5 + 9) / 2)


def test_contrastive_without_a_pair_is_zero():
  labels = jnp.full(6, 2)
  loss = lambda z: contrastive_loss(1e4 * z, labels)
  assert loss(LOGITS) == 0.0
  assert not jax.grad(loss)(LOGITS).any()


def test_contrastive_of_equal_logits_is_exactly_zero():
  same = jnp.full((6, 4), 12345.678)
  assert contrastive_loss(same, LABELS) == 0.0
  assert not jax.grad(contrastive_loss)(same, LABELS).any()


def test_contrastive_ignores_offset_and_order():
  value = contrastive_loss(LOGITS, LABELS)
  assert_close(contrastive_loss(LOGITS + 64.0, LABELS), value, rtol=1e-4)
  assert_close(contrastive_loss(LOGITS[::-1], LABELS[::-1]), value)


def test_contrastive_gradient():
  other = (LABELS[:, None] != LABELS[None]).astype(jnp.float32)
  gaps = LOGITS[:, None] - LOGITS[None]
  expected = 4 * (other[..., None] * gaps).sum(1) / other.sum()
  assert_close(jax.grad(contrastive_loss)(LOGITS, LABELS), expected)


def test_contrastive_builds_no_matrix_of_pairs():
  program = jax.jit(jax.value_and_grad(contrastive_loss)).lower(
    jnp.zeros((64, 3)), jnp.zeros(64, int)
  )
  assert "64x3" in program.as_text()
  assert "64x64" not in program.as_text()


def test_grouped_by_hand():
  logits = jnp.array([[[0.0], [1.0], [3.0]], [[5.0], [5.0], [5.0]]])
  assert_close(grouped_contrastive_loss(logits), (1 + 9 + 4) / 2)


def test_grouped_is_a_weighted_mean_over_the_pairs_of_a_group():
  group = GROUPS[:1]
  pairs, classes = 3, 4
  mean = contrastive_loss(group[0], jnp.arange(3))
  assert_close(grouped_contrastive_loss(group), mean * pairs / classes)


def test_grouped_ignores_order_and_vanishes_at_ties():
  value = grouped_contrastive_loss(GROUPS)
  assert_close(grouped_contrastive_loss(GROUPS[::-1, ::-1]), value)
  assert grouped_contrastive_loss(jnp.full((5, 3, 4), 12345.678)) == 0.0


def test_grouped_gradient():
  expected = 2 / (5 * 4) * (3 * GROUPS - GROUPS.sum(1, keepdims=True))
  assert_close(jax.grad(grouped_contrastive_loss)(GROUPS), expected)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_instance_discrimination_of_orthonormal_features(temperature):
  value = instance_discrimination_loss(
    jnp.eye(4), jnp.eye(4), temperature=temperature
  )
  odds = math.exp(1 / temperature)
  assert_close(value, np.full(4, -math.log(odds / (odds + 3))))


def test_instance_discrimination_counts_further_candidates_as_negatives():
  anchors, bank = jnp.eye(4)[:2], jnp.eye(4)[:3]
  value = instance_discrimination_loss(anchors, bank, temperature=1.0)
  assert_close(value, np.full(2, math.log(1 + 2 / math.e)))
  with pytest.raises(AssertionError):
    instance_discrimination_loss(bank, anchors, temperature=1.0)


def test_instance_discrimination_gradient():
  anchors, candidates = GROUPS[0], GROUPS[1]
  loss = lambda *views: instance_discrimination_loss(
    *views, temperature=0.5
  ).sum()
  gradient, of_candidates = jax.grad(loss, argnums=(0, 1))(anchors, candidates)
  p = jax.nn.softmax(anchors @ candidates.T / 0.5)
  assert_close(gradient, (p @ candidates - candidates) / 0.5, rtol=1e-4)
  assert not of_candidates.any()
