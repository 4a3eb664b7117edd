"""Reverse sigmoid: misleading probabilities of the classes.

Lee, Edwards, Molloy and Su, "Defending Against Neural Network Model Stealing
Attacks Using Deceptive Perturbations", IEEE S&P Workshops 2019. With the
logistic function s,

  p' = (p - r(p)) / sum,   r(p) = beta (s(gamma s^-1(p)) - 1/2).

r has the sign of p - 1/2: likely classes lose, and the less likely a class is
the more it gains, so that the order of the small ones is turned round. The text
of the paper was not at hand: this is its formula as the codes of Prediction
Poisoning and of ModelGuard agree on it, which cite its equations 3 and 4. They
do not clip p; ours is at least 1e-12 from 0 and 1. ModelGuard's code says that
the label stays. It does not: with K classes, an answer whose largest p is not
well above beta / 2 can lose to a class of p = 0. `beta` and `gamma` are those
of ModelGuard's code on CIFAR-10; the authors' own could not be verified.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import POSITIVE, UNIT, Field
from jaxkd.types import Array

CLIP = 1e-12  # distance of a probability from 0 and 1

FIELDS = (
  Field("beta", float, 0.21, "Twice the largest change of a class.", UNIT),
  Field("gamma", float, 0.2, "Steepness of the change.", POSITIVE),
)


def answer(probs: Array, images: Array, *, beta: float, gamma: float) -> Array:
  """Changes `probs [..., K]`; nothing is below 0, as beta is at most 1."""
  del images
  # In float32 1 - 1e-12 is 1, so each logarithm is clipped for itself.
  log_odds = jnp.log(jnp.maximum(probs, CLIP)) - jnp.log(
    jnp.maximum(1 - probs, CLIP)
  )
  changed = probs - beta * (jax.nn.sigmoid(gamma * log_odds) - 0.5)
  changed = jnp.maximum(changed, 0)
  return changed / changed.sum(-1, keepdims=True)
