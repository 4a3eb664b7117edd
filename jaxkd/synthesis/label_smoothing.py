"""Smoothed labels, for losses that need log-probabilities of the teacher.

A one-hot answer has no finite logits (ln 0), so a part of it, the floor, is
spread over all classes.
"""

import jax
import jax.numpy as jnp

from jaxkd.types import Array


def as_logits(targets: Array, num_classes: int, floor: float) -> Array:
  """Returns log-probabilities `[B, K]`: those given, or those of labels `[B]`.

  The share `floor` of a label is spread over all classes.
  """
  if not jnp.issubdtype(targets.dtype, jnp.integer):
    return targets
  onehot = jax.nn.one_hot(targets, num_classes)
  return jnp.log((1 - floor) * onehot + floor / num_classes)
