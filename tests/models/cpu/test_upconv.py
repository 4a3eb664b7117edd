"""Upsampling and transposed convolutions agree with their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models.cpu import conv, upconv


def by_hand(x, kernel, *, transposed):
  """Computes every tap of every position in loops."""
  batch, height, width, _ = x.shape
  y = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[-1]))
  for i, j in np.ndindex(kernel.shape[:2]):
    for row, column in np.ndindex(height, width):
      tap = x[:, row, column] @ kernel[i, j]
      if transposed:
        y[:, 2 * row + i, 2 * column + j] += tap
      else:  # each pixel becomes four, and tap i maps row h to row h + 1 - i
        for p, q in np.ndindex(2, 2):
          y[:, 2 * row + p + 2 - i, 2 * column + q + 2 - j] += tap
  return y[:, 1:-1, 1:-1]


@pytest.mark.parametrize("double", [upconv.upsampled, upconv.transposed])
def test_doubling(double):
  """Compares values with loops, and gradients with those of the definition."""
  transposed = double is upconv.transposed
  size = 4 if transposed else 3
  x, kernel = (
    np.float32(np.random.default_rng(0).normal(size=shape))
    for shape in ((2, 3, 4, 5), (size, size, 5, 6))
  )

  def energy(x, kernel):
    y = double(x, kernel)
    return jnp.sum(y**3), y

  run = jax.value_and_grad(energy, (0, 1), has_aux=True)
  (_, actual), gradients = jax.jit(run)(x, kernel)
  with conv.reference_form():
    (_, defined), expected = jax.jit(lambda *args: run(*args))(x, kernel)
  np.testing.assert_allclose(
    actual, by_hand(x, kernel, transposed=transposed), rtol=1e-4, atol=1e-4
  )
  np.testing.assert_allclose(actual, defined, rtol=1e-4, atol=1e-4)
  for one, other in zip(gradients, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-2)
