"""Tests of what the images of each procedural source look like."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import procedural
from jaxkd.synthesis.procedural.geometry import (
  coverage,
  outline,
  random_outlines,
  stretched,
)
from jaxkd.synthesis.procedural.spectrum import spectrum_field

COUNT = 200


def draw(name):
  """Returns a batch of grey images of a source, in [0, 1]."""
  images = procedural.draw(name, jax.random.key(0), COUNT, (32, 32, 1))
  return np.asarray(images)[..., 0].astype(np.float32) / 255


@pytest.fixture(scope="module")
def images():
  """Returns images of each source but fractals.

  Those take minutes in the programs of the tests, which are not optimised, on
  JAX 0.12.
  """
  return {name: draw(name) for name in procedural.SOURCES if name != "fractal"}


def amplitude_slope(fields):
  """Returns the slope `[N]` of log amplitude against log frequency."""
  height, width = fields.shape[1:]
  fields = fields - fields.mean((1, 2), keepdims=True)
  amplitude = np.abs(np.fft.fft2(fields))
  frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
  bins = np.digitize(frequency, np.geomspace(1 / 32, 0.5, 8))
  radii = range(1, 8)
  x = np.log([frequency[bins == radius].mean() for radius in radii])
  y = np.log([amplitude[:, bins == radius].mean(1) + 1e-6 for radius in radii])
  return np.polyfit(x, y, 1)[0]


def statistics(images):
  """Returns `[N, 5]`: slope, sharp edges, share of extreme pixels, mean, and
  how much the left side differs from the right.
  """
  steps = np.abs(np.diff(images, axis=1))
  return np.stack(
    [
      amplitude_slope(images),
      (steps > 0.2).mean((1, 2)),
      ((images < 0.02) | (images > 0.98)).mean((1, 2)),
      images.mean((1, 2)),
      np.abs(images - images[:, :, ::-1]).mean((1, 2)),
    ],
    1,
  )


def check_that_sources_differ(images):
  means, errors = {}, {}
  for name, batch in images.items():
    values = statistics(batch)
    means[name] = values.mean(0)
    errors[name] = values.std(0) / COUNT**0.5
  for one, other in itertools.combinations(images, 2):
    error = np.hypot(errors[one], errors[other])
    assert np.max(np.abs(means[one] - means[other]) / error) > 5, (one, other)


def test_every_source_differs_from_every_other(images):
  check_that_sources_differ(images)


@pytest.mark.slow
def test_fractals_differ_from_every_other(images):
  check_that_sources_differ({**images, "fractal": draw("fractal")})


@pytest.mark.parametrize("exponent", [0.5, 1.5, 2.5])
def test_the_amplitude_falls_as_a_power_of_the_frequency(exponent):
  keys = jax.random.split(jax.random.key(0), 50)
  fields = jax.vmap(lambda key: spectrum_field(key, 32, 32, exponent))(keys)
  slope = amplitude_slope(np.asarray(fields)).mean()
  assert slope == pytest.approx(-exponent, abs=0.15)


def test_most_strokes_are_light_on_black(images):
  corners = images["strokes"][:, 0, 0]
  assert np.isin(corners, (0, 1)).mean() > 0.9
  assert (corners == 1).mean() == pytest.approx(0.1, abs=0.07)


def test_half_of_the_leaves_lie_on_black(images):
  # The others have a background of any grey.
  share = ((images["leaves"] == 0).mean((1, 2)) > 0.02).mean()
  assert share == pytest.approx(0.5, abs=0.1)


def test_objects_stand_in_the_middle_and_most_are_their_own_mirror_image(
  images,
):
  objects = images["objects"]
  on_black = objects[(objects == 0).mean((1, 2)) > 0.02]
  assert len(on_black) / COUNT == pytest.approx(0.5, abs=0.15)
  covered = on_black > 0
  middle = covered[:, 8:24, 8:24].mean((1, 2))
  corners = covered[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1)
  assert middle.mean() > 3 * corners.mean()
  # A texture has black pixels too.
  differing = (covered != covered[:, :, ::-1]).mean((1, 2))
  alike = (differing < 0.02).mean()
  assert alike == pytest.approx(0.75, abs=0.15)


# Kind, centre, size, aspect, rotation and corners of an ellipse, a triangle and
# a rectangle.
SHAPES = [
  [0.1, 0.4, 0.6, 0.1, 0.3, 0.1, 0.5, 0.5],
  [0.5, 0.4, 0.6, 0.1, 0.3, 0.1, 0.4, 0.8],
  [0.9, 0.4, 0.6, 0.1, 0.3, 0.1, 0.5, 0.5],
]


@pytest.mark.parametrize("numbers", SHAPES)
def test_a_stretched_shape_covers_the_stretched_pixels(numbers):
  shape = outline(jnp.array(numbers), 40, 40)
  factors = jnp.array([2.0, 0.5])
  tall = stretched(shape, factors, jnp.zeros(2))
  # 40 pixels across become 80, and 40 down become 20.
  share = np.asarray(coverage(tall, 20, 80)).reshape(20, 40, 2).mean(2)
  expected = np.asarray(coverage(shape, 40, 40)).reshape(20, 2, 40).mean(1)
  assert expected.max() == 1
  assert np.abs(share - expected).mean() < 0.02
  assert share.sum() == pytest.approx(expected.sum(), rel=0.03)


def test_sizes_are_relative_to_the_image():
  """The same key draws the same shapes, of as many pixels."""

  def cover(size):
    outlines = random_outlines(jax.random.key(0), size, size)
    return jax.vmap(lambda outline: coverage(outline, size, size))(outlines)

  small, large = (jax.jit(cover, static_argnums=0)(size) for size in (32, 128))
  averaged = large.reshape(len(large), 32, 4, 32, 4).mean((2, 4))
  assert small.max() > 0.9
  assert jnp.abs(small - averaged).mean() < 0.005
