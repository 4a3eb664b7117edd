"""Random numbers that cost few random bits."""

import jax
import jax.numpy as jnp

from jaxkd.types import Array

# Mean and standard deviation of the sum of four bytes.
_MEAN, _STD = 510.0, 147.8


def near_normal(key: Array, *shape: int) -> Array:
  """Draws numbers that are nearly normal, of mean 0 and variance 1.

  Each is the sum of the four bytes of one random word, which is cheaper than
  the inverse error function and never beyond 3.5.
  """
  words = jax.random.bits(key, shape)
  pairs = (words & 0x00FF00FF) + ((words >> 8) & 0x00FF00FF)
  sums = (pairs & 0xFFFF) + (pairs >> 16)
  return (sums.astype(jnp.float32) - _MEAN) / _STD


def whole_number(uniform: Array, least: int, most: int) -> Array:
  """Maps a uniform number in [0, 1) to int32 in `least` to `most` inclusive."""
  return least + (uniform * (most + 1 - least)).astype(jnp.int32)
