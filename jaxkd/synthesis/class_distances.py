"""Distances of samples to every other class, and soft labels from them.

There is one search for every sample and other class, the next class first: the
search `i (K - 1) + j` is that of sample i and class (label + 1 + j) mod K.
"""

from chex import ArrayTree
import jax
import jax.numpy as jnp

from jaxkd.synthesis import boundary, noise_pool
from jaxkd.synthesis.boundary import Search
from jaxkd.synthesis.noise_pool import NoisePool
from jaxkd.types import Array, Networks, Phase, Samples

TIE = 1e-3  # how much larger the logit of the own class is at least


def targeted_searches(
  pool: NoisePool, images: Array, labels: Array, probes: int
) -> Search:
  """Returns searches from all samples to all other classes, `[N (K - 1)]`.

  They start along the lines to the nearest `probes` images that the pool has of
  the target class. Where it has none, the search has not `crossed`.

  Args:
    pool: images of known classes.
    images: `[N, H, W, C]`.
    labels: `[N]`, the teacher's.
    probes: W.
  """
  others = len(pool.counts) - 1
  target_classes = other_classes(labels, others + 1).reshape(-1)
  images, labels = (
    jnp.repeat(each, others, axis=0) for each in (images, labels)
  )
  candidates, distance, crossed = noise_pool.nearest_directions(
    pool, images, target_classes, probes
  )
  return boundary.new_search(
    images, labels, target_classes, candidates, distance, crossed
  )


def new_searches(state: dict[str, ArrayTree], probes: int) -> Search:
  """Returns `targeted_searches` from all samples of all walks.

  Args:
    state: `pool`, a `NoisePool`; `samples`, images `[N, walks, H, W, C]`; and
      `walks`, a `Search` with their labels.
    probes: W.
  """
  samples = state["samples"]
  labels = jnp.tile(state["walks"].labels, len(samples))
  images = samples.reshape(-1, *samples.shape[2:])
  return targeted_searches(state["pool"], images, labels, probes)


def start_phase(probes: int) -> Phase:
  """Returns a phase that starts a search from every sample to every other
  class.

  The state of the method is a dict as in `new_searches`, in which `searches` is
  a `Search`, and `step` the number of its steps so far.
  """

  def ask(state, nets: Networks, key: Array):
    del nets, key
    searches = new_searches(state, probes)
    state = {**state, "searches": searches, "step": jnp.zeros((), jnp.int32)}
    return state, Samples(searches.images, searches.labels, searches.labels), {}

  return Phase(ask, store=False, queries=False)


def label_phase(others: int) -> Phase:
  """Returns a phase that stores the samples with soft labels from their
  distances to `others` other classes, which are in `searches` of the state.
  """

  def ask(state, nets: Networks, key: Array):
    del nets, key
    searches = state["searches"]
    images, labels = searches.images[::others], searches.labels[::others]
    targets = soft_labels(searches, others)
    return state, Samples(images, labels, targets), {}

  return Phase(ask, queries=False)


def other_classes(labels: Array, num_classes: int) -> Array:
  """Returns all classes but `labels [N]`, the next one first: `[N, K - 1]`."""
  return (labels[:, None] + 1 + jnp.arange(num_classes - 1)) % num_classes


def soft_labels(searches: Search, others: int) -> Array:
  """Computes log-probabilities `[N, K]` from searches for K - 1 other classes.

  Logit t is 1 / d_t, or 0 if the search for class t has not crossed, and that
  of the sample's own class is the sum of them, and a little more: with one
  class that was crossed, or none, they would be equal.
  """
  near = 1.0 / jnp.maximum(searches.distance, 1e-6)
  near = jnp.where(searches.crossed, near, 0.0).reshape(-1, others)
  labels = searches.labels[::others]
  rows = jnp.arange(len(labels))
  logits = jnp.zeros((len(labels), others + 1))
  columns = searches.target_classes.reshape(-1, others)
  logits = logits.at[rows[:, None], columns].set(near)
  own = (1 + TIE) * near.sum(axis=1) + TIE
  return jax.nn.log_softmax(logits.at[rows, labels].set(own))
