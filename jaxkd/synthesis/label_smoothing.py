"""Labels as logits, for losses that need a teacher's probabilities.

A one-hot answer has no finite logits (ln 0), so some of it, the floor, is
spread over all classes.
"""

import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.types import Array, JaxkdError


def as_logits(targets: Array, num_classes: int, floor: float) -> Array:
  """Log-probabilities as they are; labels `[B]` as those of one-hot answers
  of which `floor` is spread over all classes, `[B, K]`.
  """
  if not jnp.issubdtype(targets.dtype, jnp.integer):
    return targets
  onehot = jax.nn.one_hot(targets, num_classes)
  return jnp.log((1 - floor) * onehot + floor / num_classes)


def label_floor(hyper: dict[str, float]) -> float:
  """The floor, where it is the one hyper-parameter of an objective.

  Raises:
    JaxkdError: if there are others, or it is not above 0 and below 1.
  """
  checks.keys("hyper", hyper, ("label_floor",))
  if not 0 < hyper["label_floor"] < 1:
    raise JaxkdError(
      f"hyper.label_floor={hyper['label_floor']}: choose a probability above "
      "0 and below 1."
    )
  return hyper["label_floor"]
