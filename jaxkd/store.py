"""Samples that the student is trained on: a ring buffer of arrays on the
device.
"""

import flax
import jax
import jax.numpy as jnp

from jaxkd import objectives
from jaxkd.types import Array, Samples


@flax.struct.dataclass
class Store:
  """Attributes:

  samples: leaves `[capacity, ...]`.
  inserted: how many samples were ever inserted, int32.
  """

  samples: Samples
  inserted: Array

  @property
  def capacity(self) -> int:
    return self.samples.labels.shape[0]


def init(capacity: int, like: Samples) -> Store:
  """An empty store for samples of the shapes and types of `like [N, ...]`."""

  def empty(leaf: jax.ShapeDtypeStruct) -> Array:
    return jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype)

  return Store(jax.tree.map(empty, like), jnp.zeros((), jnp.int32))


def insert(store: Store, samples: Samples) -> Store:
  """Writes the samples behind the last ones; a full store loses its oldest."""
  count = samples.labels.shape[0]
  if count > store.capacity:
    raise ValueError(f"{count} samples into a store of {store.capacity}.")
  slots = (store.inserted + jnp.arange(count)) % store.capacity
  return Store(
    jax.tree.map(
      lambda kept, new: kept.at[slots].set(new, unique_indices=True),
      store.samples,
      samples,
    ),
    store.inserted + count,
  )


def take(store: Store, indices: Array) -> Samples:
  """The samples at `indices`, of any shape, as `[*indices.shape, ...]`."""
  return jax.tree.map(lambda leaf: leaf[indices], store.samples)


def shuffled_batch(
  store: Store, key: Array, index: Array, size: int
) -> Samples:
  """Batch `index` of the pass through the store that `key` shuffles.

  The last batch of a pass is filled up from its beginning.
  """
  held = jnp.minimum(store.inserted, store.capacity)
  draws = jax.random.uniform(key, (store.capacity,))
  order = jnp.argsort(
    jnp.where(jnp.arange(store.capacity) < held, draws, jnp.inf)
  )
  rows = (index * size + jnp.arange(size)) % jnp.maximum(held, 1)
  return take(store, order[rows])


def draw(store: Store, key: Array, count: int) -> Samples:
  """`count` of the samples that the store holds, each drawn from all of them;
  there must be one at least.
  """
  held = jnp.minimum(store.inserted, store.capacity)
  return take(store, jax.random.randint(key, (count,), 0, held))


def label_counts(store: Store, num_classes: int) -> Array:
  """How often the store holds each class, `[K]`; see
  `jaxkd.objectives.class_counts`.
  """
  filled = jnp.arange(store.capacity) < store.inserted
  samples = store.samples
  labels = samples.labels
  if samples.targets is not None:
    labels = objectives.hard_labels(samples.targets)
  labels = jnp.where(filled, labels, -1)
  return objectives.class_counts(Samples(samples.images, labels), num_classes)
