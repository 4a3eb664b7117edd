"""Random numbers that cost few random bits."""

import math

import jax
import jax.numpy as jnp

from jaxkd.types import Array

# Mean and standard deviation of the sum of two bytes.
_MEAN, _STD = 255.0, 104.5


def near_normal(key: Array, *shape: int) -> Array:
  """Draws numbers of mean 0 and variance 1 that are roughly normal.

  Each is the sum of two random bytes, so that a random word makes two of them;
  words are most of the cost of noise. They are never beyond 2.5.
  """
  count = math.prod(shape)
  words = jax.random.bits(key, (-(-count // 2),))
  pairs = (words & 0x00FF00FF) + ((words >> 8) & 0x00FF00FF)
  sums = jnp.concatenate([pairs & 0xFFFF, pairs >> 16])[:count]
  return (sums.reshape(shape).astype(jnp.float32) - _MEAN) / _STD


def whole_number(uniform: Array, least: int, most: int) -> Array:
  """Maps a uniform number in [0, 1) to int32 in `least` to `most` inclusive."""
  return least + (uniform * (most + 1 - least)).astype(jnp.int32)
