"""A pool of noise images, by the class that the teacher assigns to them."""

import flax
import jax
import jax.numpy as jnp

from jaxkd.synthesis import directions
from jaxkd.types import Array, DataSpec


@flax.struct.dataclass
class NoisePool:
  """Ring buffers of the newest M images of each class.

  Attributes:
    images: `[K, M, H, W, C]`.
    counts: `[K]`, number of images of a class that were ever inserted.
  """

  images: Array
  counts: Array


def noise(key: Array, count: int, spec: DataSpec) -> Array:
  """Draws images of uniform plus normal noise, each scaled per image.

  These are ZSDB3KD's pseudo-samples: clip(a (u + 0.2) + b n, 0, 1) with u
  uniform on [0, 1], n standard normal, and a, b uniform on [0, 1] for each
  image.
  """
  uniform_key, normal_key, scale_key = jax.random.split(key, 3)
  shape = (count, *spec.shape)
  scales = jax.random.uniform(scale_key, (2, count, 1, 1, 1))
  uniform = jax.random.uniform(uniform_key, shape) + 0.2
  normal = jax.random.normal(normal_key, shape)
  return jnp.clip(scales[0] * uniform + scales[1] * normal, 0.0, 1.0)


def empty(places: int, spec: DataSpec) -> NoisePool:
  """Returns an empty pool with `places` slots for each class."""
  shape = (spec.num_classes, places, *spec.shape)
  return NoisePool(jnp.zeros(shape), jnp.zeros(spec.num_classes, jnp.int32))


def insert(pool: NoisePool, images: Array, labels: Array) -> NoisePool:
  """Writes `images [N, H, W, C]` over the oldest ones of their classes."""
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
  """Returns `count` images and their labels, the newest first.

  Classes have equal shares as far as there are images; if there are too few,
  it starts again with the first one.
  """
  classes, places = pool.images.shape[:2]
  ages = (pool.counts[:, None] - 1 - jnp.arange(places)) % places
  held = jnp.minimum(pool.counts, places)
  empty_slots = ages >= held[:, None]
  order = jnp.argsort(
    jnp.where(empty_slots, places, ages).T.ravel(), stable=True
  )
  order = order[jnp.arange(count) % jnp.maximum(held.sum(), 1)]
  slots, labels = jnp.divmod(order, classes)
  return pool.images[labels, slots], labels.astype(jnp.int32)


def nearest_directions(
  pool: NoisePool, images: Array, target_classes: Array, count: int
) -> tuple[Array, Array, Array]:
  """Returns the directions from images to images of other classes in the pool.

  Args:
    pool: of images of known classes.
    images: `[R, H, W, C]`, where directions start.
    target_classes: `[R]`, of the images where they end.
    count: number of images for each start.

  Returns:
    Directions to the `count` nearest `[R, count, H, W, C]`, the nearest first,
    and again where there are too few; the distance to the nearest `[R]`; and
    whether there is any `[R]`, without which the others mean nothing.
  """

  def one(image: Array, target_class: Array):
    offsets = pool.images[target_class] - image
    distances = directions.length(offsets)
    valid = jnp.arange(len(offsets)) < pool.counts[target_class]
    _, order = jax.lax.top_k(jnp.where(valid, -distances, -jnp.inf), count)
    order = jnp.where(valid[order], order, order[0])
    nearest = order[0]
    return directions.unit(offsets[order]), distances[nearest], valid[nearest]

  rows = images, target_classes
  return jax.lax.map(lambda row: one(*row), rows, batch_size=64)
