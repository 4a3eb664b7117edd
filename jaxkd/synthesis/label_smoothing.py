"""Labels as logits, for losses that need a teacher's probabilities.

A one-hot answer has no finite logits (ln 0), so some of it, the floor, is
spread over all classes.
"""

import jax
import jax.numpy as jnp

from jaxkd.types import Array


def as_logits(targets: Array, num_classes: int, floor: float) -> Array:
  """Log-probabilities as they are; labels `[B]` as those of one-hot answers
  of which `floor` is spread over all classes, `[B, K]`.
  """
  if not jnp.issubdtype(targets.dtype, jnp.integer):
    return targets
  onehot = jax.nn.one_hot(targets, num_classes)
  return jnp.log((1 - floor) * onehot + floor / num_classes)
