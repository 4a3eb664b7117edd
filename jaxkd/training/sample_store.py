"""The store of the samples that the student is trained on.

It is a ring buffer of arrays on the device, see `jaxkd.types.SampleStore`.
"""

import jax
import jax.numpy as jnp

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.types import Array, Samples, SampleStore

FEISTEL_ROUNDS = 4  # of two half-rounds each


def unlabelled(images: Array) -> Samples:
  """Returns images `[N, ...]` as samples without a class."""
  return Samples(images, jnp.full(len(images), -1, jnp.int32))


def init(capacity: int, like: Samples) -> SampleStore:
  """Returns an empty store for samples with the shapes of `like [N, ...]`."""

  def empty(leaf: jax.ShapeDtypeStruct) -> Array:
    return jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype)

  return SampleStore(jax.tree.map(empty, like), jnp.zeros((), jnp.int32))


def insert(
  store: SampleStore, samples: Samples, *, aligned: bool = False
) -> SampleStore:
  """Writes samples into the next slots; a full store loses its oldest ones.

  They are written as one block, or as two where they may go on from the end of
  the store to its beginning. For a scatter a TPU would copy the whole store
  into another layout, which takes four times its memory, and back; at a
  conditional between one block and two its compiler aborts (libtpu 0.0.42.1).

  Args:
    store: before them.
    samples: `[N, ...]`.
    aligned: whether all samples of this store come N at a time, and its
      capacity is a multiple of N.

  Raises:
    ValueError: if there are more samples than slots.
  """
  count = samples.labels.shape[0]
  if count > store.capacity:
    raise ValueError(f"{count} samples into a store of {store.capacity}.")
  slot = store.inserted % store.capacity
  write = _write_block if aligned else _write_around
  return SampleStore(
    jax.tree.map(
      lambda old, new: write(old, new.astype(old.dtype), slot),
      store.samples,
      samples,
    ),
    store.inserted + count,
  )


def _write_block(old: Array, new: Array, slot: Array) -> Array:
  return jax.lax.dynamic_update_slice_in_dim(old, new, slot, 0)


def _write_around(old: Array, new: Array, slot: Array) -> Array:
  """Writes a block up to the end, and what is left of it at the beginning."""
  count = len(new)
  first = jnp.minimum(slot, len(old) - count)
  wrapped = slot - first  # samples that go to the beginning
  turned = jnp.roll(new, wrapped, axis=0)
  places = jnp.arange(count).reshape(count, *[1] * (new.ndim - 1))
  for start, chosen in ((first, places >= wrapped), (0, places < wrapped)):
    block = jax.lax.dynamic_slice_in_dim(old, start, count)
    old = _write_block(old, jnp.where(chosen, turned, block), start)
  return old


def gather(store: SampleStore, indices: Array) -> Samples:
  """Returns the samples at `indices`, `[*indices.shape, ...]`."""
  return jax.tree.map(lambda leaf: leaf[indices], store.samples)


def filled(store: SampleStore) -> Samples:
  """Returns the samples that the store holds, without its empty slots."""
  count = min(int(store.inserted), store.capacity)
  return jax.tree.map(lambda leaf: leaf[:count], store.samples)


def shuffled_batch(
  store: SampleStore, key: Array, index: Array, size: int
) -> Samples:
  """Returns batch `index` of a pass through the store in random order.

  The key determines the order. The last batch of a pass is filled up from the
  beginning of the pass. The time of a batch does not depend on the number of
  samples in the store.
  """
  count = jnp.maximum(jnp.minimum(store.inserted, store.capacity), 1)
  places = (index * size + jnp.arange(size)) % count
  return gather(store, _permuted(key, places, count))


def _permuted(key: Array, numbers: Array, count: Array) -> Array:
  """Applies a random permutation of `range(count)` to `numbers [B]`.

  It is a Feistel network over a rectangle with hardly more than `count` places;
  a number that is mapped to one of the others goes through it again (Black and
  Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
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
  """Mixes the bits of uint32 words, as the last step of MurmurHash3 does."""
  for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
    words = (words ^ (words >> shift)) * jnp.uint32(factor)
  return words ^ (words >> 16)


def sample(store: SampleStore, key: Array, count: int) -> Samples:
  """Draws `count` samples independently from a store with at least one."""
  filled_slots = jnp.minimum(store.inserted, store.capacity)
  return gather(store, jax.random.randint(key, (count,), 0, filled_slots))


def stored_labels(store: SampleStore) -> Array:
  """Returns the label in each slot, `[capacity]`; -1 in empty ones."""
  filled = jnp.arange(store.capacity) < store.inserted
  return jnp.where(filled, labels_of(store.samples), -1)


def label_counts(store: SampleStore, num_classes: int) -> Array:
  """Counts the samples of each class in the store, `[K]`.

  See `jaxkd.data.labels.class_counts`.
  """
  return class_counts(stored_labels(store), num_classes)
