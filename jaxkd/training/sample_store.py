"""Samples that the student is trained on: a ring buffer of arrays on the
device.
"""

import jax
import jax.numpy as jnp

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.types import Array, Samples, SampleStore

FEISTEL_ROUNDS = 4  # of two half-rounds each


def unlabelled(images: Array) -> Samples:
  """Images `[N, ...]` for which no class was meant."""
  return Samples(images, jnp.full(len(images), -1, jnp.int32))


def init(capacity: int, like: Samples) -> SampleStore:
  """An empty store for samples of the shapes and types of `like [N, ...]`."""

  def empty(leaf: jax.ShapeDtypeStruct) -> Array:
    return jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype)

  return SampleStore(jax.tree.map(empty, like), jnp.zeros((), jnp.int32))


def insert(store: SampleStore, samples: Samples) -> SampleStore:
  """Writes the samples behind the last ones; a full store loses its oldest."""
  count = samples.labels.shape[0]
  if count > store.capacity:
    raise ValueError(f"{count} samples into a store of {store.capacity}.")
  slots = (store.inserted + jnp.arange(count)) % store.capacity
  return SampleStore(
    jax.tree.map(
      lambda kept, new: kept.at[slots].set(new, unique_indices=True),
      store.samples,
      samples,
    ),
    store.inserted + count,
  )


def gather(store: SampleStore, indices: Array) -> Samples:
  """The samples at `indices`, of any shape, as `[*indices.shape, ...]`."""
  return jax.tree.map(lambda leaf: leaf[indices], store.samples)


def filled(store: SampleStore) -> Samples:
  """The samples that the store holds, without its empty slots."""
  count = min(int(store.inserted), store.capacity)
  return jax.tree.map(lambda leaf: leaf[:count], store.samples)


def shuffled_batch(
  store: SampleStore, key: Array, index: Array, size: int
) -> Samples:
  """Batch `index` of the pass through the store that `key` shuffles.

  The last batch of a pass is filled up from its beginning. A batch costs the
  same however much the store holds.
  """
  held = jnp.maximum(jnp.minimum(store.inserted, store.capacity), 1)
  places = (index * size + jnp.arange(size)) % held
  return gather(store, _permuted(key, places, held))


def _permuted(key: Array, numbers: Array, count: Array) -> Array:
  """Where a random permutation of `range(count)` sends `numbers [B]`.

  A Feistel network over a rectangle with hardly more than `count` places; who
  lands behind the last one goes through it again (Black and Rogaway, "Ciphers
  with Arbitrary Finite Domains", 2002).
  """
  count = count.astype(jnp.uint32)
  height = jnp.ceil(jnp.sqrt(count.astype(jnp.float32))).astype(jnp.uint32)
  width = (count + height - 1) // height
  round_keys = jax.random.bits(key, (FEISTEL_ROUNDS, 2), jnp.uint32)

  def shuffled(places: Array) -> Array:
    row, column = jnp.divmod(places, width)
    for row_key, column_key in round_keys:
      row = (row + _mixed(column ^ row_key) % height) % height
      column = (column + _mixed(row ^ column_key) % width) % width
    return row * width + column

  places = jax.lax.while_loop(
    lambda places: (places >= count).any(),
    lambda places: jnp.where(places >= count, shuffled(places), places),
    shuffled(numbers.astype(jnp.uint32)),
  )
  return places.astype(jnp.int32)


def _mixed(words: Array) -> Array:
  """Every bit of a uint32 spread over all of them (MurmurHash3's last step)."""
  for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
    words = (words ^ (words >> shift)) * jnp.uint32(factor)
  return words ^ (words >> 16)


def sample(store: SampleStore, key: Array, count: int) -> Samples:
  """`count` of the samples that the store holds, each drawn from all of them;
  there must be one at least.
  """
  held = jnp.minimum(store.inserted, store.capacity)
  return gather(store, jax.random.randint(key, (count,), 0, held))


def label_counts(store: SampleStore, num_classes: int) -> Array:
  """How often the store holds each class, `[K]`; see
  `jaxkd.data.labels.class_counts`.
  """
  filled = jnp.arange(store.capacity) < store.inserted
  labels = jnp.where(filled, labels_of(store.samples), -1)
  return class_counts(labels, num_classes)
