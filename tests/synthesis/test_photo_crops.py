"""Crops differ, depend on their own key alone, and show the photograph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import photo_crops

KEY = jax.random.key(0)
crops = jax.jit(photo_crops.crops, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def photo():
  """The left half is dark, the right half light."""
  pixels = np.full((40, 60, 3), 60, np.uint8)
  pixels[:, 30:] = 200
  return jnp.asarray(pixels)


def test_crops_are_alike_whatever_their_number(photo):
  many = crops(KEY, photo, 20, (8, 8, 3))
  assert many.shape == (20, 8, 8, 3) and many.dtype == jnp.uint8
  few = crops(KEY, photo, 5, (8, 8, 3))
  np.testing.assert_array_equal(few, many[:5])
  assert len(np.unique(np.asarray(many).reshape(20, -1), axis=0)) == 20


def test_a_plain_photo_gives_plain_crops():
  plain = jnp.full((30, 20, 1), 128, jnp.uint8)
  found = crops(KEY, plain, 30, (6, 6, 1))
  assert (np.ptp(found, axis=(1, 2, 3)) <= 1).all()
  assert len(np.unique(found)) > 5  # of other brightness


def test_crops_show_both_sides_and_the_edge(photo):
  found = np.float32(crops(KEY, photo, 200, (8, 8, 3)))
  spread = np.ptp(found.mean(-1), axis=(1, 2))
  assert (spread < 5).mean() > 0.1 and (spread > 60).mean() > 0.1


def test_the_pyramid_halves_and_keeps_the_mean():
  photo = jax.random.uniform(KEY, (32, 48, 1))
  levels = photo_crops.pyramid(photo)
  assert levels.heights.tolist() == [32, 16, 8]
  assert levels.widths.tolist() == [48, 24, 12]
  for start, size in zip(
    levels.offsets, (32 * 48, 16 * 24, 8 * 12), strict=True
  ):
    mean = levels.pixels[start : start + size].mean()
    np.testing.assert_allclose(mean, photo.mean(), rtol=1e-5)
