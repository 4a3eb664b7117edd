"""Noise by the class that a teacher takes it for."""

import flax
import jax
import jax.numpy as jnp

from jaxkd.synthesis import directions
from jaxkd.types import Array, DataSpec


@flax.struct.dataclass
class NoisePool:
  """The newest M images of each class.

  Attributes:
    images: `[K, M, H, W, C]`, a ring in each class.
    counts: `[K]`, how many images of a class there ever were.
  """

  images: Array
  counts: Array


def noise(key: Array, count: int, spec: DataSpec) -> Array:
  """Uniform plus normal noise, each of a strength that is drawn per image.

  ZSDB3KD's pseudo-samples: clip(a (u + 0.2) + b n, 0, 1) with u uniform on
  [0, 1], n standard normal, and a, b uniform on [0, 1] for each image.
  """
  uniform_key, normal_key, scale_key = jax.random.split(key, 3)
  shape = (count, *spec.shape)
  scales = jax.random.uniform(scale_key, (2, count, 1, 1, 1))
  uniform = jax.random.uniform(uniform_key, shape) + 0.2
  normal = jax.random.normal(normal_key, shape)
  return jnp.clip(scales[0] * uniform + scales[1] * normal, 0.0, 1.0)


def empty(places: int, spec: DataSpec) -> NoisePool:
  """A pool with room for M images of each class."""
  shape = (spec.num_classes, places, *spec.shape)
  return NoisePool(jnp.zeros(shape), jnp.zeros(spec.num_classes, jnp.int32))


def insert(pool: NoisePool, images: Array, labels: Array) -> NoisePool:
  """Writes `images [N, H, W, C]` behind the last ones of their classes."""
  classes, places = pool.images.shape[:2]
  onehot = jax.nn.one_hot(labels, classes, dtype=jnp.int32)
  until = jnp.cumsum(onehot, axis=0)
  own = jnp.arange(len(labels)), labels
  rank = until[own] - 1
  # Of more images than places only the last ones are written.
  lasting = until[-1, labels] - rank <= places
  slots = (pool.counts[labels] + rank) % places
  return NoisePool(
    pool.images.at[jnp.where(lasting, labels, classes), slots].set(
      images, mode="drop", unique_indices=True
    ),
    pool.counts + until[-1],
  )


def newest(pool: NoisePool, count: int) -> tuple[Array, Array]:
  """`count` images and their labels, of all classes alike as far as there are
  any, the newest first; if there are too few, again from the first one.
  """
  classes, places = pool.images.shape[:2]
  ages = (pool.counts[:, None] - 1 - jnp.arange(places)) % places
  held = jnp.minimum(pool.counts, places)
  missing = ages >= held[:, None]
  order = jnp.argsort(jnp.where(missing, places, ages).T.ravel(), stable=True)
  order = order[jnp.arange(count) % jnp.maximum(held.sum(), 1)]
  slots, labels = jnp.divmod(order, classes)
  return pool.images[labels, slots], labels.astype(jnp.int32)


def nearest_directions(
  pool: NoisePool, images: Array, goals: Array, count: int
) -> tuple[Array, Array, Array]:
  """The ways from `images [R, H, W, C]` to images of the classes `goals [R]`.

  Returns:
    Directions to the `count` nearest `[R, count, H, W, C]`, the nearest first
    and in the place of those that are missing; the distance to it `[R]`; and
    whether there is any `[R]`, without which the others mean nothing.
  """

  def one(image: Array, goal: Array):
    ways = pool.images[goal] - image
    distances = directions.length(ways)
    there = jnp.arange(len(ways)) < pool.counts[goal]
    _, order = jax.lax.top_k(jnp.where(there, -distances, -jnp.inf), count)
    order = jnp.where(there[order], order, order[0])
    return directions.unit(ways[order]), distances[order[0]], there[order[0]]

  return jax.lax.map(lambda row: one(*row), (images, goals), batch_size=64)
