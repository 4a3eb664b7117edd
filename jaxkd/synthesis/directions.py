"""Vectors in image space: `[..., H, W, C]` are directions, `[...]` lengths."""

import jax
import jax.numpy as jnp

from jaxkd.types import Array


def random(key: Array, shape: tuple[int, ...]) -> Array:
  """Directions of the shape `[..., H, W, C]`, uniform on the sphere."""
  return unit(jax.random.normal(key, shape))


def unit(vectors: Array) -> Array:
  """Vectors `[..., H, W, C]` at length 1; a vector of zeros stays one."""
  return scale(vectors, 1.0 / jnp.maximum(length(vectors), 1e-12))


def length(vectors: Array) -> Array:
  """Euclidean lengths `[...]` of vectors `[..., H, W, C]`."""
  return jnp.sqrt(jnp.sum(vectors**2, axis=(-3, -2, -1)))


def scale(vectors: Array, factors: Array) -> Array:
  """Vectors `[..., H, W, C]` times factors `[...]`."""
  return vectors * factors[..., None, None, None]
