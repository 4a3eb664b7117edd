"""Distillation losses: values computed by hand, limits and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.losses import htc_loss, htc_targets, kd_loss, nasty_loss, scm_loss


def normal(seed, shape):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


K = 5
STUDENT, TEACHER, THIRD = normal(0, (3, 4, K))
LABELS = jnp.array([0, 3, 1, 4])
ONEHOT = jax.nn.one_hot(LABELS, K)
CROSS_ENTROPY = -(ONEHOT * jax.nn.log_softmax(STUDENT)).sum(-1)
WITH_LABELS = {
  "kd": lambda labels, alpha: kd_loss(
    STUDENT, TEACHER, labels, temperature=4.0, alpha=alpha
  ),
  "htc_targets": lambda labels, alpha: htc_targets(
    TEACHER, labels, temperature=4.0, alpha=alpha
  ),
  "htc": lambda labels, alpha: htc_loss(
    STUDENT, TEACHER, labels, temperature=4.0, alpha=alpha, multiplier=5.0
  ),
  "scm": lambda labels, alpha: scm_loss(
    STUDENT, TEACHER[None], labels, temperature=4.0, alpha=alpha, multiplier=5.0
  ),
}
with_labels = pytest.mark.parametrize(
  "loss", WITH_LABELS.values(), ids=WITH_LABELS
)


def gradient(loss, logits):
  return jax.grad(lambda z: loss(z).sum())(logits)


def assert_close(a, b, **tolerance):
  np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


@with_labels
def test_without_labels_the_distillation_part_is_left(loss):
  assert_close(loss(None, 1.0), loss(LABELS, 1.0))


@with_labels
def test_without_labels_alpha_must_be_one(loss):
  with pytest.raises(ValueError, match="alpha must be 1, but alpha is 0.9"):
    loss(None, 0.9)


@with_labels
def test_a_traced_alpha_weighs_the_distillation_part(loss):
  assert_close(
    jax.jit(lambda alpha: loss(None, alpha))(0.5), 0.5 * loss(None, 1.0)
  )


@with_labels
def test_wrong_shapes_are_refused(loss):
  with pytest.raises(AssertionError):
    loss(LABELS[:1], 0.5)


def test_a_temperature_per_example_is_refused():
  with pytest.raises(AssertionError):
    kd_loss(STUDENT, TEACHER, None, temperature=jnp.ones(K), alpha=1.0)


def test_kd_of_two_classes_by_hand():
  # p = (3/4, 1/4) and q = (1/2, 1/2) at t = 2.
  teacher = jnp.array([2 * math.log(3.0), 0.0])
  value = kd_loss(
    jnp.zeros(2), teacher, jnp.array(1), temperature=2.0, alpha=0.25
  )
  divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
  assert_close(value, 0.25 * 4 * divergence + 0.75 * math.log(2))


def test_kd_limits_of_alpha():
  weights = {"temperature": 4.0}
  assert_close(
    kd_loss(STUDENT, TEACHER, LABELS, alpha=0.0, **weights), CROSS_ENTROPY
  )
  same = lambda z: kd_loss(z, TEACHER, LABELS, alpha=1.0, **weights)
  assert_close(same(TEACHER), 0.0)
  assert_close(gradient(same, TEACHER), 0.0)


@pytest.mark.parametrize("temperature", [100.0, 1000.0])
def test_kd_compares_centred_logits_at_high_temperature(temperature):
  value = kd_loss(STUDENT, TEACHER, None, temperature=temperature, alpha=1.0)
  gap = TEACHER - STUDENT
  # In float32 the plain sum of p ln(p / q) has no correct digit here.
  assert_close(value, gap.var(axis=-1) / 2, rtol=10 / temperature)


def test_kd_gradient():
  t, alpha = 4.0, 0.75
  p, q = jax.nn.softmax(TEACHER / t), jax.nn.softmax(STUDENT / t)
  both = lambda student, teacher: kd_loss(
    student, teacher, LABELS, temperature=t, alpha=alpha
  ).sum()
  student, teacher = jax.grad(both, argnums=(0, 1))(STUDENT, TEACHER)
  hard = jax.nn.softmax(STUDENT) - ONEHOT
  assert_close(student, alpha * t * (q - p) + (1 - alpha) * hard)
  assert not teacher.any()


def test_kd_takes_log_probabilities_with_zeros():
  teacher = jnp.log(jnp.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))
  student = jnp.log(jnp.array([[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]]))
  loss = lambda z: kd_loss(z, teacher, None, temperature=1.0, alpha=1.0)
  assert_close(loss(student), [math.log(2), math.log(2)])
  assert_close(
    gradient(loss, student), jnp.exp(student) - jnp.exp(teacher), atol=1e-6
  )


def test_htc_targets_by_hand():
  teacher = jnp.array([50 * math.log(3.0), 0.0])
  targets = htc_targets(teacher, jnp.array(1), temperature=50.0, alpha=0.5)
  assert_close(targets, [0.375, 0.625])


def test_htc_targets_are_smoothed_labels_at_high_temperature():
  targets = htc_targets(TEACHER, LABELS, temperature=1e6, alpha=0.4)
  assert_close(targets, 0.6 * ONEHOT + 0.4 / K)


def test_htc_is_the_cross_entropy_with_its_targets_up_to_a_constant():
  weights = {"temperature": 4.0, "alpha": 0.7}
  targets = htc_targets(TEACHER, LABELS, **weights)
  soft = jax.nn.softmax(TEACHER / 4.0)
  entropy = -(soft * jnp.log(soft)).sum(-1)
  value = htc_loss(STUDENT, TEACHER, LABELS, multiplier=1.0, **weights)
  cross = -(targets * jax.nn.log_softmax(STUDENT)).sum(-1)
  assert_close(value, cross - 0.7 * entropy)


def test_htc_by_hand():
  teacher = jnp.array([10 * math.log(3.0), 0.0])
  value = htc_loss(
    jnp.zeros(2),
    teacher,
    jnp.array(0),
    temperature=10.0,
    alpha=0.5,
    multiplier=4.0,
  )
  divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
  assert_close(value, 2 * divergence + 0.5 * math.log(2))


def test_htc_gradient():
  alpha, m = 0.75, 5.0
  loss = lambda z: htc_loss(
    z, TEACHER, LABELS, temperature=4.0, alpha=alpha, multiplier=m
  )
  q, p = jax.nn.softmax(STUDENT), jax.nn.softmax(TEACHER / 4.0)
  assert_close(
    gradient(loss, STUDENT),
    (1 - alpha) * (q - ONEHOT) + alpha * m * (q - p),
  )


def test_scm_with_one_member_is_kd():
  weights = {"temperature": 4.0, "alpha": 0.9}
  value = scm_loss(STUDENT, TEACHER[None], LABELS, multiplier=16.0, **weights)
  assert_close(value, kd_loss(STUDENT, TEACHER, LABELS, **weights))


def test_scm_members_are_exchangeable_up_to_a_shift():
  weights = {"temperature": 4.0, "alpha": 0.9, "multiplier": 2.0}
  members = jnp.stack([TEACHER, THIRD])
  value = scm_loss(STUDENT, members, LABELS, **weights)
  moved = members[::-1] + jnp.array([3.0, -7.0])[:, None, None]
  assert_close(value, scm_loss(STUDENT, moved, LABELS, **weights))


def test_scm_lets_opposite_peaks_cancel():
  members = jnp.array([[4.0, 2.0, 0.0], [4.0, -2.0, 0.0]])
  value = scm_loss(
    jnp.array([4.0, 0.0, 0.0]),
    members,
    None,
    temperature=2.0,
    alpha=1.0,
    multiplier=9.0,
  )
  assert_close(value, 0.0)


def test_scm_gradient():
  t, alpha, m = 4.0, 0.75, 5.0
  members = jnp.stack([TEACHER, THIRD])
  loss = lambda z: scm_loss(
    z, members, LABELS, temperature=t, alpha=alpha, multiplier=m
  )
  q, p = jax.nn.softmax(STUDENT / t), jax.nn.softmax(members.mean(0) / t)
  hard = jax.nn.softmax(STUDENT) - ONEHOT
  assert_close(
    gradient(loss, STUDENT), (1 - alpha) * hard + alpha * m * (q - p) / t
  )


def test_nasty_by_hand():
  # p = (1/2, 1/2) and q = (3/4, 1/4) at t = 2.
  teacher = jnp.array([2 * math.log(3.0), 0.0])
  value = nasty_loss(
    jnp.zeros(2), teacher, jnp.array(0), temperature=2.0, omega=0.5
  )
  divergence = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
  assert_close(value, math.log(2) - 0.5 * 4 * divergence)


def test_nasty_is_the_cross_entropy_without_its_push():
  loss = lambda z, teacher, omega: nasty_loss(
    z, teacher, LABELS, temperature=4.0, omega=omega
  )
  assert_close(loss(STUDENT, TEACHER, 0.0), CROSS_ENTROPY)
  assert_close(loss(STUDENT, STUDENT, 9.0), CROSS_ENTROPY)


def test_nasty_push_is_bounded_by_the_least_likely_class():
  away = -1e4 * TEACHER
  push = nasty_loss(away, TEACHER, LABELS, temperature=4.0, omega=0.0)
  push -= nasty_loss(away, TEACHER, LABELS, temperature=4.0, omega=1 / 16)
  bound = -jax.nn.log_softmax(TEACHER / 4.0).min(axis=-1)
  # The difference of two losses of 1e4.
  assert_close(push, bound, atol=5e-3)


def test_nasty_gradient_flows_through_both_terms():
  t, omega = 4.0, 0.25
  log_p = jax.nn.log_softmax(STUDENT / t)
  ratio = log_p - jax.nn.log_softmax(TEACHER / t)
  p = jnp.exp(log_p)
  push = p * (ratio - (p * ratio).sum(-1, keepdims=True)) / t
  loss = lambda *both: nasty_loss(
    *both, LABELS, temperature=t, omega=omega
  ).sum()
  gradient, of_teacher = jax.grad(loss, argnums=(0, 1))(STUDENT, TEACHER)
  hard = jax.nn.softmax(STUDENT) - ONEHOT
  assert_close(gradient, hard - omega * t**2 * push)
  assert not of_teacher.any()
