"""Vectors in image space: directions `[..., H, W, C]` and lengths `[...]`."""

import jax
import jax.numpy as jnp

from jaxkd.types import Array


def random(key: Array, shape: tuple[int, ...]) -> Array:
  """Draws directions of the shape `[..., H, W, C]`, uniform on the sphere."""
  return unit(jax.random.normal(key, shape))


def unit(vectors: Array) -> Array:
  """Scales vectors `[..., H, W, C]` to length 1; a vector of zeros stays."""
  return scale(vectors, 1.0 / jnp.maximum(length(vectors), 1e-12))


def length(vectors: Array) -> Array:
  """Returns the Euclidean lengths `[...]` of vectors `[..., H, W, C]`."""
  return jnp.sqrt(jnp.sum(vectors**2, axis=(-3, -2, -1)))


def scale(vectors: Array, factors: Array) -> Array:
  """Multiplies vectors `[..., H, W, C]` by factors `[...]`."""
  return vectors * factors[..., None, None, None]
