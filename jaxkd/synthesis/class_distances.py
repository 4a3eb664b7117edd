"""How far samples are from each other class, and what that says of them.

Every sample is searched from once per other class: the next class first, the
search `i (K - 1) + j` is that of sample i and class (label + 1 + j) mod K.
"""

import jax
import jax.numpy as jnp

from jaxkd.synthesis import boundary, noise_pool
from jaxkd.synthesis.boundary import Search
from jaxkd.synthesis.noise_pool import NoisePool
from jaxkd.types import Array


def targeted_searches(
  pool: NoisePool, images: Array, labels: Array, probes: int
) -> Search:
  """The searches of all samples, `[N (K - 1)]`.

  They begin on the ways to the nearest `probes` images that the pool has of the
  goal; those whose goal it lacks have not `found` it.

  Args:
    pool: images of known classes.
    images: `[N, H, W, C]`.
    labels: `[N]`, the teacher's.
    probes: W.
  """
  others = len(pool.counts) - 1
  goals = other_classes(labels, others + 1).reshape(-1)
  images, labels = (
    jnp.repeat(each, others, axis=0) for each in (images, labels)
  )
  candidates, distance, found = noise_pool.nearest_directions(
    pool, images, goals, probes
  )
  return boundary.begin(images, labels, goals, candidates, distance, found)


def other_classes(labels: Array, num_classes: int) -> Array:
  """All classes but `labels [N]`, from the next one on: `[N, K - 1]`."""
  return (labels[:, None] + 1 + jnp.arange(num_classes - 1)) % num_classes


def soft_labels(searches: Search, others: int) -> Array:
  """Log-probabilities `[N, K]` from searches for `others` = K - 1 classes.

  Logit t is 1 / d_t, or 0 if class t was not found, and that of the sample's
  own class the sum of them.
  """
  near = 1.0 / jnp.maximum(searches.distance, 1e-6)
  near = jnp.where(searches.found, near, 0.0).reshape(-1, others)
  labels = searches.labels[::others]
  rows = jnp.arange(len(labels))
  logits = jnp.zeros((len(labels), others + 1))
  logits = logits.at[rows[:, None], searches.goals.reshape(-1, others)].set(
    near
  )
  return jax.nn.log_softmax(logits.at[rows, labels].set(near.sum(axis=1)))
