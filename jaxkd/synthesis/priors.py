"""Where samples start: p(x), p(y), and the space that they live in."""

import jax
import jax.numpy as jnp

from jaxkd.types import Array, DataSpec


def normal(key: Array, count: int, spec: DataSpec) -> Array:
  """Standard normal inputs in the normalised space, `[count, *spec.shape]`."""
  return jax.random.normal(key, (count, *spec.shape))


def distinct_labels(
  key: Array, num_groups: int, group_size: int, num_classes: int
) -> Array:
  """Labels `[num_groups, group_size]` int32, all different inside a group.

  Each group is the start of a random permutation of the classes, so with
  `group_size == num_classes` every class is drawn equally often.
  """
  keys = jax.random.split(key, num_groups)
  orders = jax.vmap(lambda k: jax.random.permutation(k, num_classes))(keys)
  return orders[:, :group_size].astype(jnp.int32)


def to_pixels(inputs: Array, spec: DataSpec) -> Array:
  """From the normalised space to pixel space; not clipped."""
  return inputs * jnp.asarray(spec.std) + jnp.asarray(spec.mean)
