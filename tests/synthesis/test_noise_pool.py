"""Noise, and where it is kept."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxkd.synthesis import noise_pool
from jaxkd.types import DataSpec

SPEC = DataSpec("toy", (2, 1, 1), 3, (0.0,), (1.0,))


def numbered(*numbers):
  """Images that are recognised by their first pixel."""
  first = jnp.array(numbers, jnp.float32)
  return jnp.stack([first, 0 * first], axis=1)[..., None, None]


def filled(places=2):
  pool = noise_pool.empty(places, SPEC)
  pool = noise_pool.insert(pool, numbered(1, 2, 3), jnp.array([0, 2, 0]))
  return noise_pool.insert(pool, numbered(4, 5, 6), jnp.array([0, 2, 0]))


def first_pixels(images):
  return np.asarray(images)[..., 0, 0, 0].tolist()


def test_noise_is_pixels_of_many_strengths():
  images = noise_pool.noise(jax.random.key(0), 200, SPEC)
  assert images.shape == (200, 2, 1, 1)
  assert 0 <= float(images.min()) < float(images.max()) <= 1
  brightness = images.mean(axis=(1, 2, 3))
  assert float((brightness < 0.2).mean()) > 0.1
  assert float((brightness > 0.6).mean()) > 0.1


def test_the_newest_of_a_class_take_the_places_of_its_oldest():
  pool = filled()
  np.testing.assert_array_equal(pool.counts, [4, 0, 2])
  assert sorted(first_pixels(pool.images[0])) == [4, 6]
  assert sorted(first_pixels(pool.images[2])) == [2, 5]
  np.testing.assert_array_equal(pool.images[1], 0)


def test_more_of_a_class_at_once_than_there_are_places():
  pool = noise_pool.empty(2, SPEC)
  pool = noise_pool.insert(pool, numbered(1, 2, 3, 4, 5), jnp.full(5, 1))
  assert sorted(first_pixels(pool.images[1])) == [4, 5]


def test_newest_takes_classes_in_turn_and_begins_again():
  images, labels = noise_pool.newest(filled(), 6)
  assert first_pixels(images) == [6, 5, 4, 2, 6, 5]
  assert labels.tolist() == [0, 2, 0, 2, 0, 2]


def test_ways_lead_to_the_nearest_of_the_goal():
  pool = filled(places=3)
  ways, distances, result = noise_pool.nearest_directions(
    pool, numbered(3.5, 0.0, 9.0), jnp.array([0, 2, 1]), 3
  )
  assert ways.shape == (3, 3, 2, 1, 1)
  # Class 0 holds 3, 4 and 6; class 2 only 2 and 5; class 1 nothing.
  assert sorted(first_pixels(ways[0])) == [-1, 1, 1]
  assert first_pixels(ways[1]) == [1, 1, 1]
  np.testing.assert_allclose(distances[:2], [0.5, 2.0])
  assert result.tolist() == [True, True, False]
