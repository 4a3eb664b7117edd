"""Distillation losses of a student, with or without true labels."""

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxkd.losses._numerics import (
  cross_entropy,
  full_precision,
  kl_divergence,
  log_softmax,
)


def kd_loss(
  student_logits: jax.Array,
  teacher_logits: jax.Array,
  labels: jax.Array | None,
  *,
  temperature: ArrayLike,
  alpha: ArrayLike,
) -> jax.Array:
  """Knowledge distillation at temperature t, with gradients rescaled by t^2.

      alpha t^2 KL(softmax(teacher / t) || softmax(student / t))
        + (1 - alpha) CE(student, labels)

  Args:
    student_logits: `[..., K]`.
    teacher_logits: `[..., K]`, or log-probabilities; no gradient flows
      through them.
    labels: `[...]` integers, or None for the distillation part alone.
    temperature: t, a scalar.
    alpha: weight of the distillation part, a scalar.

  Returns:
    `[...]` float32, nats per sample.

  Raises:
    ValueError: if `labels` is None and `alpha` is not 1. A traced alpha cannot
      be checked; the result is then alpha times the distillation part.

  Example:
    >>> student, teacher = jnp.array([2.0, 0.0]), jnp.array([0.0, 0.0])
    >>> label = jnp.array(0)
    >>> loss = kd_loss(student, teacher, label, temperature=2.0, alpha=0.5)
    >>> print(f"{loss:.4f}")
    0.3037

  Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
  alpha is the weight of the distillation part, as in the Nasty Teacher code; in
  torchdistill it is that of the cross entropy. The HTC/SCM paper prints
  KL(student || teacher) in equation 2, and builds on code with this direction.
  """
  _check_labels(labels, alpha)
  return _composition(
    student_logits,
    teacher_logits,
    labels,
    student_temperature=temperature,
    teacher_temperature=temperature,
    alpha=alpha,
    multiplier=full_precision(temperature) ** 2,
  )


def htc_targets(
  teacher_logits: jax.Array,
  labels: jax.Array | None,
  *,
  temperature: ArrayLike,
  alpha: ArrayLike,
) -> jax.Array:
  """High-temperature composition: mixes labels with the teacher's soft targets.

      (1 - alpha) onehot(labels) + alpha softmax(teacher / t)

  Args:
    teacher_logits: `[..., K]`, or log-probabilities.
    labels: `[...]` integers, or None for the teacher's part alone.
    temperature: t, a scalar.
    alpha: weight of the teacher's part, a scalar.

  Returns:
    `[..., K]` float32, probabilities.

  Raises:
    ValueError: if `labels` is None and `alpha`, if not traced, is not 1.

  Example:
    >>> teacher = jnp.array([[0.0, 0.0]])
    >>> htc_targets(teacher, jnp.array([1]), temperature=50.0, alpha=0.5)
    Array([[0.25, 0.75]], dtype=float32)

  Jandial et al., "Distilling the Undistillable", ECCV 2022, equation 7.
  """
  _check_labels(labels, alpha)
  return _mix(teacher_logits, labels, temperature, alpha)


def htc_loss(
  student_logits: jax.Array,
  teacher_logits: jax.Array,
  labels: jax.Array | None,
  *,
  temperature: ArrayLike,
  alpha: ArrayLike,
  multiplier: ArrayLike,
) -> jax.Array:
  """High-temperature composition: only the teacher's logits are divided by t.

      alpha m KL(softmax(teacher / t) || softmax(student))
        + (1 - alpha) CE(student, labels)

  At m = 1 this is the cross entropy with `htc_targets`, up to a constant.

  Args:
    student_logits: `[..., K]`.
    teacher_logits: `[..., K]`, or log-probabilities; no gradient flows
      through them.
    labels: `[...]` integers, or None for the distillation part alone.
    temperature: t of the teacher, a scalar.
    alpha: weight of the distillation part, a scalar.
    multiplier: m, a scalar.

  Returns:
    `[...]` float32, nats per sample.

  Raises:
    ValueError: if `labels` is None and `alpha`, if not traced, is not 1.

  Example:
    >>> student, teacher = jnp.array([2.0, 0.0]), jnp.array([0.0, 0.0])
    >>> loss = htc_loss(
    ...   student, teacher, None, temperature=50.0, alpha=1.0, multiplier=2.0
    ... )
    >>> print(f"{loss:.4f}")
    0.8676

  Jandial et al., "Distilling the Undistillable", ECCV 2022, equations 7 to 9.
  Its code was not released. `scm_loss` with one member divides the student's
  logits by t as well.
  """
  _check_labels(labels, alpha)
  return _composition(
    student_logits,
    teacher_logits,
    labels,
    student_temperature=1.0,
    teacher_temperature=temperature,
    alpha=alpha,
    multiplier=multiplier,
  )


def scm_loss(
  student_logits: jax.Array,
  ensemble_logits: jax.Array,
  labels: jax.Array | None,
  *,
  temperature: ArrayLike,
  alpha: ArrayLike,
  multiplier: ArrayLike,
) -> jax.Array:
  """Sequence of contrastive models: distils the mean of the members' logits.

      alpha m KL(softmax(mean_e ensemble_e / t) || softmax(student / t))
        + (1 - alpha) CE(student, labels)

  Args:
    student_logits: `[..., K]`.
    ensemble_logits: `[E, ..., K]`; no gradient flows through them.
    labels: `[...]` integers, or None for the distillation part alone.
    temperature: t of both sides, a scalar.
    alpha: weight of the distillation part, a scalar.
    multiplier: m, a scalar; there is no t^2.

  Returns:
    `[...]` float32, nats per sample.

  Raises:
    ValueError: if `labels` is None and `alpha`, if not traced, is not 1.

  Example:
    >>> student = jnp.array([[0.0, 0.0]])
    >>> ensemble = jnp.array([[[8.0, 0.0]], [[0.0, 8.0]]])
    >>> scm_loss(
    ...   student, ensemble, None, temperature=4.0, alpha=1.0, multiplier=5.0
    ... )
    Array([0.], dtype=float32)

  Jandial et al., "Distilling the Undistillable", ECCV 2022, equations 10 and
  11. The paper does not say whether logits or probabilities are averaged, nor
  was its code released; logits are our reading of its z_ens.
  """
  _check_labels(labels, alpha)
  return _composition(
    student_logits,
    full_precision(ensemble_logits).mean(axis=0),
    labels,
    student_temperature=temperature,
    teacher_temperature=temperature,
    alpha=alpha,
    multiplier=multiplier,
  )


@jax.jit
def _mix(teacher_logits, labels, temperature, alpha):
  soft = jnp.exp(log_softmax(teacher_logits, temperature))
  alpha = full_precision(alpha)
  if labels is None:
    return alpha * soft
  chex.assert_shape(labels, teacher_logits.shape[:-1])
  hard = jax.nn.one_hot(labels, soft.shape[-1], dtype=soft.dtype)
  return (1.0 - alpha) * hard + alpha * soft


@jax.jit
def _composition(
  student_logits,
  teacher_logits,
  labels,
  *,
  student_temperature,
  teacher_temperature,
  alpha,
  multiplier,
):
  """The formula of which `kd_loss`, `htc_loss` and `scm_loss` are cases."""
  chex.assert_equal_shape([student_logits, teacher_logits])
  alpha = full_precision(alpha)
  divergence = kl_divergence(
    log_softmax(jax.lax.stop_gradient(teacher_logits), teacher_temperature),
    log_softmax(student_logits, student_temperature),
  )
  distillation = alpha * full_precision(multiplier) * divergence
  if labels is None:
    return distillation
  return (1.0 - alpha) * cross_entropy(student_logits, labels) + distillation


def _check_labels(labels, alpha):
  """Checks alpha outside of the jitted part, where it is still a number."""
  if labels is None and not isinstance(alpha, jax.core.Tracer) and alpha != 1:
    raise ValueError(
      "labels=None leaves the distillation part alone, so alpha must be 1, "
      f"but alpha is {alpha}; pass labels or alpha=1."
    )
