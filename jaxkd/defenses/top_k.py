"""Top-k: the probabilities of the likeliest classes alone.

Common behaviour of served models, and the baseline of the literature on
defences, as of Orekondy et al., "Prediction Poisoning", ICLR 2020. ModelGuard's
code sets the other classes to 0 and leaves the sum below 1; we spread what is
left evenly over them, as an attacker would who knows nothing else. Equal
probabilities are taken in the order of their classes. The label stays, so does
the confidence in it: honest users lose the ranking of the classes from k + 1
on. `python -m jaxkd.serve --access=top_k --top_k=K` is this defence.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import COUNT, Field
from jaxkd.types import Array

KEEPS_LABEL = True
FIELDS = (
  Field("count", int, 1, "k, classes whose probability is told.", COUNT),
)


def answer(probs: Array, images: Array, *, count: int) -> Array:
  """Keeps the `count` largest of `probs [..., K]`; all, if K is not more."""
  del images
  others = probs.shape[-1] - count
  if others <= 0:
    return probs
  values, classes = jax.lax.top_k(probs, count)
  rest = jnp.maximum(1 - values.sum(-1, keepdims=True), 0) / others
  spread = jnp.broadcast_to(rest, probs.shape)
  return jnp.put_along_axis(spread, classes, values, axis=-1, inplace=False)
