"""The loss of a Nasty Teacher, which is trained so that copies of it fail."""

import chex
import jax
from jax.typing import ArrayLike

from jaxkd.losses._numerics import (
  cross_entropy,
  full_precision,
  kl_divergence,
  log_softmax,
)


@jax.jit
def nasty_loss(
  logits: jax.Array,
  teacher_logits: jax.Array,
  labels: jax.Array,
  *,
  temperature: ArrayLike,
  omega: ArrayLike,
) -> jax.Array:
  """Nasty Teacher: cross entropy minus the divergence from a normal teacher.

      CE(logits, labels) - omega t^2 KL(softmax(logits / t)
                                        || softmax(teacher / t))

  The gradient flows through both terms.

  Args:
    logits: `[..., K]` of the network in training.
    teacher_logits: `[..., K]` of the frozen normal teacher; no gradient flows
      through them.
    labels: `[...]` integers.
    temperature: t, a scalar.
    omega: weight of the divergence, a scalar.

  Returns:
    `[...]` float32, nats per sample; it may be negative.

  Example:
    >>> import jax.numpy as jnp
    >>> logits, teacher = jnp.array([0.0, 0.0]), jnp.array([4.0, 0.0])
    >>> label = jnp.array(0)
    >>> loss = nasty_loss(logits, teacher, label, temperature=4.0, omega=0.04)
    >>> print(f"{loss:.4f}")
    0.6163

  Ma et al., "Undistillable: Making A Nasty Teacher That CANNOT Teach
  Students", ICLR 2021. Its equation 5 leaves the direction of the divergence
  open; this is the code's, bounded by -ln min softmax(teacher / t).
  """
  chex.assert_equal_shape([logits, teacher_logits])
  distance = kl_divergence(
    log_softmax(logits, temperature),
    log_softmax(jax.lax.stop_gradient(teacher_logits), temperature),
  )
  weight = full_precision(omega) * full_precision(temperature) ** 2
  return cross_entropy(logits, labels) - weight * distance
