"""Disagreement losses: values computed by hand, properties and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.losses import attention_transfer_loss, disagreement_loss


def normal(seed, shape):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


KINDS = ("kl", "l1", "js")
STUDENT, TEACHER = normal(0, (2, 4, 5))
MAPS = normal(1, (2, 3, 4, 4, 6))
every_kind = pytest.mark.parametrize("kind", KINDS)


def gradients(kind, temperature):
  total = lambda student, teacher: disagreement_loss(
    student, teacher, kind=kind, temperature=temperature
  ).sum()
  return jax.grad(total, argnums=(0, 1))(STUDENT, TEACHER)


def through_softmax(slopes, probs):
  return probs * (slopes - (probs * slopes).sum(-1, keepdims=True))


def assert_close(a, b, **tolerance):
  np.testing.assert_allclose(a, b, **({"rtol": 1e-4, "atol": 1e-6} | tolerance))


@pytest.mark.parametrize(
  ("kind", "expected"),
  [
    ("kl", 0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
    ("l1", math.log(3) / 2),
    (
      "js",
      0.625 * math.log(0.625 / math.sqrt(0.375))
      + 0.375 * math.log(0.375 / math.sqrt(0.125)),
    ),
  ],
)
def test_disagreement_by_hand(kind, expected):
  # P = (3/4, 1/4) and Q = (1/2, 1/2) at t = 2, M = (5/8, 3/8).
  teacher = jnp.array([2 * math.log(3), 0.0])
  value = disagreement_loss(jnp.zeros(2), teacher, kind=kind, temperature=2.0)
  assert_close(value, expected)


@every_kind
def test_disagreement_of_equals_is_zero(kind):
  value = disagreement_loss(STUDENT, STUDENT, kind=kind)
  assert_close(value, np.zeros(4))


@every_kind
def test_disagreement_is_positive(kind):
  assert (disagreement_loss(STUDENT, TEACHER, kind=kind) > 0).all()


def test_js_is_clamped():
  value = disagreement_loss(
    jnp.array([1e4, 0.0]), jnp.array([0.0, 1e4]), kind="js"
  )
  assert_close(value, math.log(0.5 / math.sqrt(0.99 * 0.01)))


def test_the_default_is_kl_from_the_teacher_at_temperature_one():
  named = disagreement_loss(STUDENT, TEACHER, kind="kl", temperature=1.0)
  assert_close(disagreement_loss(STUDENT, TEACHER), named)
  swapped = disagreement_loss(TEACHER, STUDENT)
  assert not np.allclose(named, swapped, rtol=1e-2)


def test_unknown_kind_is_refused():
  with pytest.raises(ValueError, match="one of kl, l1, js; got 'kls'"):
    disagreement_loss(STUDENT, TEACHER, kind="kls")


def test_kl_gradient():
  t = 3.0
  log_p = jax.nn.log_softmax(TEACHER / t)
  log_q = jax.nn.log_softmax(STUDENT / t)
  student, teacher = gradients("kl", t)
  assert_close(student, (jnp.exp(log_q) - jnp.exp(log_p)) / t)
  assert_close(teacher, through_softmax(log_p - log_q, jnp.exp(log_p)) / t)


def test_l1_gradient():
  student, teacher = gradients("l1", 1.0)
  assert_close(student, jnp.sign(STUDENT - TEACHER) / 5)
  assert_close(teacher, -student)


def test_js_gradient():
  t = 3.0
  p, q = jax.nn.softmax(TEACHER / t), jax.nn.softmax(STUDENT / t)
  m = (p + q) / 2
  assert ((p > 0.01) & (q > 0.01)).all()  # no clamp in the way
  common = (jnp.log(m) + 1) / 2 - jnp.log(p * q) / 4
  student, teacher = gradients("js", t)
  assert_close(student, through_softmax(common - m / q / 2, q) / t, rtol=1e-3)
  assert_close(teacher, through_softmax(common - m / p / 2, p) / t, rtol=1e-3)


def test_attention_by_hand():
  # Channel means of squares (3, 4), normalised (.6, .8), against (1, 0).
  student = jnp.sqrt(jnp.array([[1.0, 5.0], [3.0, 5.0]])).reshape(1, 1, 2, 2)
  teacher = jnp.array([2.0, 0.0]).reshape(1, 1, 2, 1)
  value = attention_transfer_loss([student], [teacher])
  assert_close(value, (0.4**2 + 0.8**2) / 2)


def test_attention_does_not_see_the_scale():
  value = attention_transfer_loss([MAPS[0]], [MAPS[1]])
  assert_close(attention_transfer_loss([3 * MAPS[0]], [-9 * MAPS[1]]), value)
  assert_close(attention_transfer_loss([2 * MAPS[0]], [MAPS[0]]), 0.0)


def test_attention_is_summed_over_layers():
  value = attention_transfer_loss([MAPS[0]], [MAPS[1]])
  twice = attention_transfer_loss([MAPS[0]] * 2, [MAPS[1]] * 2)
  assert_close(twice, 2 * value)
  with pytest.raises(ValueError, match="zip"):
    attention_transfer_loss([MAPS[0]], [MAPS[1]] * 2)


def test_attention_gradient_does_not_change_the_scale():
  loss = lambda maps: attention_transfer_loss([maps], [MAPS[1]])
  gradient = jax.grad(loss)(MAPS[0])
  assert jnp.abs(gradient).max() > 1e-4
  along = (gradient * MAPS[0]).sum(axis=(1, 2, 3))
  assert_close(along, np.zeros(3), atol=1e-6)


def test_attention_gradient_is_the_slope():
  loss = lambda maps: attention_transfer_loss([maps], [MAPS[1]])
  direction = MAPS[0, ::-1]
  forth, back = MAPS[0] + 0.01 * direction, MAPS[0] - 0.01 * direction
  slope = (loss(forth) - loss(back)) / 0.02
  along = (jax.grad(loss)(MAPS[0]) * direction).sum()
  assert_close(along, slope, rtol=1e-2)
