"""Noise whose amplitude spectrum falls as a power of the frequency."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis.procedural.color import color_fields
from jaxkd.synthesis.procedural.noise import near_normal
from jaxkd.types import Array

FLATTEST, STEEPEST = 0.5, 3.0


def spectrum(key: Array, shape: tuple[int, int, int]) -> Array:
  """Draws planes `[C, H, W]` with an amplitude of 1 / f^a, in a random tone.

  The exponent a is uniform in 0.5 to 3; photographs have about 1.
  """
  height, width, channels = shape
  keys = jax.random.split(key, 4)
  exponent = jax.random.uniform(keys[0], minval=FLATTEST, maxval=STEEPEST)
  lightness = spectrum_field(keys[1], height, width, exponent)
  chroma = spectrum_field(keys[2], height, width, exponent)
  return color_fields(keys[3], lightness, chroma, channels)


def spectrum_field(
  key: Array, height: int, width: int, exponent: Array
) -> Array:
  """Draws a field `[H, W]` of mean 0 whose amplitude falls as 1 / f^exponent.

  White noise is the spectrum of a real field in the basis of Hartley, which
  takes two products with small real matrices.
  """
  if height * width == 1:
    return jnp.zeros((1, 1))  # there is no frequency but 0
  rows, columns = _frequencies(height), _frequencies(width)
  frequency = np.hypot(rows[:, None], columns).astype(np.float32)
  frequency[0, 0] = np.inf
  log_frequency = np.log(frequency / frequency.min())
  noise = near_normal(key, height, width)
  noise = noise * jnp.exp(-exponent * log_frequency)
  return _hartley(height) @ noise @ _hartley(width)


def _frequencies(size: int) -> np.ndarray:
  """Returns the frequency of each basis function, in cycles per pixel."""
  return np.abs(np.fft.fftfreq(size))


def _hartley(size: int) -> np.ndarray:
  angle = 2 * np.pi * np.outer(np.arange(size), np.arange(size)) / size
  return ((np.cos(angle) + np.sin(angle)) / size**0.5).astype(np.float32)
