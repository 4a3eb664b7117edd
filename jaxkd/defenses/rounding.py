"""Rounding: probabilities with few decimals.

Tramèr et al., "Stealing Machine Learning Models via Prediction APIs", USENIX
Security 2016, has it as a countermeasure. Numbers of few decimals hide the
differences that methods follow between almost equal images, and of a confident
answer all that is not the label. ModelGuard's code rounds likewise, to one
decimal in its experiments, and leaves the sum as it is. So do we: a client
divides by the sum. An answer whose numbers are all rounded to 0, as there can
be with many classes, is given to its likeliest class. Two classes that are
rounded to one number are a tie, which the lower class wins; this is what it
costs in accuracy. The text of the paper was not at hand, its recommendation
for the number of decimals could not be verified.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import Field, Interval
from jaxkd.types import Array

FIELDS = (
  Field("decimals", int, 1, "Decimals of a probability.", Interval(0, 9)),
)


def answer(probs: Array, images: Array, *, decimals: int) -> Array:
  """Rounds `probs [..., K]`; the sum is at most K / 2 units off."""
  del images
  rounded = probs.round(decimals)
  likeliest = jax.nn.one_hot(probs.argmax(-1), probs.shape[-1])
  return jnp.where(rounded.any(-1, keepdims=True), rounded, likeliest)
