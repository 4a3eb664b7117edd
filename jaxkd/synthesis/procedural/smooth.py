"""Smooth noise: a sum of random fields of several scales, in a random tone."""

import jax
import jax.numpy as jnp

from jaxkd.synthesis.procedural.color import color_fields
from jaxkd.synthesis.procedural.noise import near_normal
from jaxkd.types import Array

SCALES = (3, 5, 9, 16, 32)  # random numbers along each side of the image
COARSE = (3, 5, 9)


def smooth(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` of smooth noise."""
  height, width, channels = shape
  keys = jax.random.split(key, 3)
  lightness = smooth_field(keys[0], height, width, SCALES)
  chroma = smooth_field(keys[1], height, width, COARSE)
  return color_fields(keys[2], lightness, chroma, channels)


def smooth_field(
  key: Array, height: int, width: int, scales: tuple[int, ...]
) -> Array:
  """Draws a field `[H, W]`: the sum of noise of all scales, each upsampled.

  The scale of s x s random numbers has the strength e / sqrt(s), where e is
  exponentially distributed.
  """
  scales = tuple(sorted({min(scale, height, width) for scale in scales}))
  strength_key, noise_key = jax.random.split(key)
  strengths = jax.random.exponential(strength_key, (len(scales),))
  noise = near_normal(noise_key, sum(scale**2 for scale in scales))
  columns, start = [], 0
  for scale, strength in zip(scales, strengths, strict=True):
    grid = noise[start : start + scale**2].reshape(scale, scale)
    start += scale**2
    columns.append(_upsampling(height, scale) @ (grid * strength * scale**-0.5))
  rows = jnp.concatenate([_upsampling(width, scale) for scale in scales], 1)
  return jnp.concatenate(columns, 1) @ rows.T


def _upsampling(size: int, scale: int) -> Array:
  """Returns the matrix `[size, scale]` of cubic interpolation."""
  return jax.image.resize(jnp.eye(scale), (size, scale), "cubic")
