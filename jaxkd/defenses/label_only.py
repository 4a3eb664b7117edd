"""Label only: the likeliest class, with all of the probability.

The least that a classifier can tell, and what other defences have to be
compared with: an attacker who distrusts the probabilities takes the label of
each answer, so that a defence that keeps the label protects no better than this
one. Lee et al., of the reverse sigmoid, say so in their introduction;
ModelGuard's code has this attack as "top1", and the defence as its top-k with
k = 1. IDEAL and ZSDB3KD need no more. Honest users lose every number but the
label; where they take the answer for a probability, it is always 1, and the
calibration error is the error rate. `python -m jaxkd.serve --access=label`
answers with the number of this class.
"""

import jax

from jaxkd.config.fields import Field
from jaxkd.types import Array

KEEPS_LABEL = True
FIELDS: tuple[Field, ...] = ()


def answer(probs: Array, images: Array) -> Array:
  """Gives 1 to the likeliest class of `probs [..., K]`, the first of equals."""
  del images
  return jax.nn.one_hot(probs.argmax(-1), probs.shape[-1], dtype=probs.dtype)
