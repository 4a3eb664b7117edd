"""Tests of batches and mixtures of procedural images."""

import functools

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from jaxkd.errors import JaxkdError
from jaxkd.synthesis import procedural

SHAPE = (32, 32, 3)


def each_source(*quick):
  """All sources in the slow tests, a few in the others.

  `test_sources.py` draws images of every source.
  """
  return pytest.mark.parametrize(
    "name",
    [
      pytest.param(name, marks=() if name in quick else pytest.mark.slow)
      for name in procedural.SOURCES
    ],
  )


@functools.cache
def batch(name, count=20, shape=SHAPE):
  return np.asarray(procedural.draw(name, jax.random.key(0), count, shape))


@each_source("leaves", "strokes")
def test_pixels_are_eight_bits_and_use_their_range(name):
  images = batch(name)
  assert images.shape == (20, *SHAPE) and images.dtype == np.uint8
  assert images.min() < 20 and images.max() > 235
  assert len(np.unique(images.reshape(20, -1), axis=0)) == 20


@each_source("leaves")
def test_an_image_depends_on_its_key_alone(name):
  np.testing.assert_array_equal(batch(name, 5), batch(name)[:5])
  other = procedural.draw(name, jax.random.key(1), 5, SHAPE)
  assert (np.asarray(other) != batch(name, 5)).any((1, 2, 3)).all()


@each_source("leaves")
def test_devices_draw_the_same_images(name):
  devices = jax.devices()
  assert len(devices) == 2
  sharding = NamedSharding(Mesh(devices, "n"), PartitionSpec("n"))
  draw = jax.jit(
    procedural.draw, static_argnums=(0, 2, 3), out_shardings=sharding
  )
  images = draw(name, jax.random.key(0), 20, SHAPE)
  assert len(images.sharding.device_set) == 2
  np.testing.assert_array_equal(np.asarray(images), batch(name))


def test_parts_of_a_batch_are_put_in_order(monkeypatch):
  whole, parts = [], []
  for images, at_once in ((whole, 32), (parts, 8)):
    monkeypatch.setattr(procedural, "PIXELS", at_once * 32 * 32)
    procedural._draw.clear_cache()
    images.append(procedural.draw("leaves", jax.random.key(0), 20, SHAPE))
  procedural._draw.clear_cache()
  np.testing.assert_array_equal(whole[0], parts[0])


@each_source("leaves")
@pytest.mark.parametrize(
  "shape",
  [
    (9, 32, 4),
    (28, 20, 1),
    pytest.param((16, 16, 2), marks=pytest.mark.slow),
  ],
)
def test_any_size_and_number_of_channels(name, shape):
  images = batch(name, 6, shape)
  assert images.shape == (6, *shape)
  assert images.std((1, 2, 3)).max() > 10
  for first in range(shape[2] - 1):
    assert (images[..., first] != images[..., first + 1]).any()


@pytest.mark.parametrize("name", ["spectrum", "shapes"])
def test_one_pixel_is_an_image(name):
  """Its only frequency is 0, from which no power falls."""
  images = procedural.draw(name, jax.random.key(0), 24, (1, 1, 1))
  assert len(np.unique(images)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", procedural.SOURCES)
def test_large_images(name):
  images = batch(name, 2, (224, 224, 3))
  assert images.shape == (2, 224, 224, 3) and images.std() > 10


def test_a_mixture_holds_images_of_its_sources():
  weights = {"leaves": 3, "strokes": 1, "smooth": 0}
  order = procedural.source_order(weights, 20)
  images = procedural.draw_mixture(weights, jax.random.key(0), 20, SHAPE)
  for index, name in enumerate(order):
    np.testing.assert_array_equal(images[index], batch(name)[index])
  pairs = tuple(weights.items())
  np.testing.assert_array_equal(
    images, procedural.draw_mixture(pairs, jax.random.key(0), 20, SHAPE)
  )


def test_every_start_of_a_mixture_has_the_shares_of_the_weights():
  weights = {"leaves": 0.5, "strokes": 0.3, "smooth": 0.2, "fractal": 0}
  order = procedural.source_order(weights, 1000)
  assert (procedural.source_order(weights, 77) == order[:77]).all()
  for name, weight in weights.items():
    counts = np.cumsum(order == name)
    assert np.abs(counts - weight * np.arange(1, 1001)).max() <= 1


def draw_one(name="leaves", count=1, shape=SHAPE):
  procedural.draw(name, jax.random.key(0), count, shape)


def mix_one(**weights):
  procedural.draw_mixture(weights, jax.random.key(0), 1, SHAPE)


@pytest.mark.parametrize(
  "wrong, message",
  [
    (lambda: draw_one("stroke"), "source 'stroke'.*strokes.*Choose one of"),
    (lambda: draw_one(count=0), "count=0"),
    (lambda: draw_one(shape=(8, 8, 5)), r"shape=\(8, 8, 5\).*1 to 4 channels"),
    (lambda: mix_one(stroke=1.0), "source 'stroke'"),
    (lambda: mix_one(strokes=-1.0), "weight of strokes=-1.0"),
    (lambda: mix_one(strokes=0.0), "weights=.*above 0"),
  ],
)
def test_wrong_arguments_are_named(wrong, message):
  with pytest.raises(JaxkdError, match=message):
    wrong()
