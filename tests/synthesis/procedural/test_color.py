"""Tests of the colour model of procedural images."""

import jax
import numpy as np
import pytest

from jaxkd.synthesis import procedural
from jaxkd.synthesis.procedural import color

KEYS = jax.random.split(jax.random.key(0), 400)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_colours_are_pixels(channels):
  draw = jax.jit(jax.vmap(lambda key: color.random_colors(key, 5, channels)))
  colors = np.asarray(draw(KEYS))
  assert colors.shape == (400, 5, channels)
  assert colors.min() > -1e-5 and colors.max() < 1 + 1e-5
  assert colors.mean((0, 1)) == pytest.approx(0.5, abs=0.05)


def test_some_images_are_nearly_grey_and_others_vivid():
  draw = jax.jit(jax.vmap(lambda key: color.random_colors(key, 20, 3)))
  colors = np.asarray(draw(KEYS))
  spread = (colors.max(2) - colors.min(2)).max(1)
  assert 0.2 < (spread < 0.1).mean() < 0.4
  assert (spread > 0.4).mean() > 0.25


def test_hues_are_at_right_angles_to_grey():
  draw = jax.jit(color.random_hues, static_argnums=(1, 2))
  hues = np.asarray(draw(KEYS[0], 200, 3))
  np.testing.assert_allclose(hues.sum(1), 0, atol=1e-5)
  np.testing.assert_allclose(np.square(hues).sum(1), 1, rtol=1e-4)
  assert (np.asarray(draw(KEYS[0], 5, 1)) == 0).all()


@pytest.mark.parametrize(
  "name",
  [
    name
    if name in ("smooth", "leaves")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in procedural.SOURCES
  ],
)
def test_every_source_has_grey_images_and_colours(name):
  images = procedural.draw(name, KEYS[0], 60, (16, 16, 3))
  images = np.asarray(images).astype(int)
  spread = np.percentile(images.max(3) - images.min(3), 95, (1, 2))
  assert spread.min() < 15 and spread.max() > 40
