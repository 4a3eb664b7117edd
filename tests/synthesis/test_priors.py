import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.models.layers import clip_to_pixels, to_pixels
from jaxkd.synthesis import priors
from jaxkd.types import DataSpec

SPEC = DataSpec("toy", (4, 4, 2), 10, (0.5, 0.25), (0.1, 0.2))


def test_labels_differ_inside_every_group():
  labels = np.asarray(priors.distinct_labels(jax.random.key(0), 50, 4, 10))
  assert labels.shape == (50, 4)
  assert all(len(set(group)) == 4 for group in labels)
  assert set(labels.ravel()) == set(range(10))


def test_whole_groups_draw_every_class_equally_often():
  labels = priors.distinct_labels(jax.random.key(1), 30, 10, 10)
  np.testing.assert_array_equal(np.bincount(labels.ravel()), 30)
  assert len({tuple(group) for group in np.asarray(labels)}) > 20


@pytest.mark.parametrize("count", [12, 14, 5])
def test_balanced_labels_favour_no_class(count):
  keys = jax.random.split(jax.random.key(0), 600)
  labels = jax.vmap(lambda key: priors.balanced_labels(key, count, 8))(keys)
  of_batch = np.stack([np.bincount(each, minlength=8) for each in labels])
  assert np.ptp(of_batch, axis=1).max() == 1
  # Each class is one of the more frequent ones with p = (count mod 8) / 8.
  np.testing.assert_allclose(of_batch.mean(0), count / 8, atol=0.09)


def test_normal_is_standard_in_the_normalised_space():
  inputs = priors.normal(jax.random.key(0), 500, SPEC)
  assert inputs.shape == (500, 4, 4, 2)
  pixels = to_pixels(inputs, SPEC)
  np.testing.assert_allclose(pixels.mean((0, 1, 2)), SPEC.mean, atol=0.01)
  np.testing.assert_allclose(pixels.std((0, 1, 2)), SPEC.std, rtol=0.05)


@pytest.mark.parametrize("level", [0.13, 0.5, 0.9])
@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_toned_images_have_their_level_and_more_gain_more_contrast(level, gain):
  pre = 3 + 0.1 * jax.random.normal(jax.random.key(0), (50, 16, 16, 1))
  tones = priors.ToneParams(jnp.full(50, level), jnp.full(50, gain))
  apply_tone = jax.jit(priors.apply_tone)
  images = apply_tone(pre, tones)
  assert images.min() >= 0 and images.max() <= 1
  assert images.mean() == pytest.approx(level, abs=0.01)
  softer = apply_tone(pre, tones._replace(gain=tones.gain / 2))
  assert images.std() > softer.std() + 0.01


def test_random_tones_span_dark_to_light():
  level, gain = priors.random_tones(jax.random.key(0), 500)
  assert level.min() < 0.1 and level.max() > 0.9
  assert gain.min() >= 1 and gain.max() <= 8
  assert np.std(gain) > 1


def test_clipped_inputs_are_pixels():
  inputs = 9 * priors.normal(jax.random.key(0), 5, SPEC)
  pixels = to_pixels(clip_to_pixels(inputs, SPEC), SPEC)
  assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6
  inside = to_pixels(inputs, SPEC)
  kept = (inside > 0) & (inside < 1)
  np.testing.assert_allclose(pixels[kept], inside[kept], atol=1e-6)


def test_classes_in_turn():
  np.testing.assert_array_equal(
    priors.cycled_labels(7, 3), [0, 1, 2, 0, 1, 2, 0]
  )


@pytest.mark.parametrize(
  ("variation", "expected"),
  [
    # rows (2, 4), columns (1, 3), diagonals 5 - 0 and 2 - 1
    (priors.frobenius_variation, 20**0.5 + 10**0.5 + 5 + 1),
    (priors.absolute_variation, 3 + 2 + 5 + 1),
  ],
)
def test_variation_in_four_directions(variation, expected):
  image = jnp.array([[0.0, 1.0], [2.0, 5.0]])[None, ..., None]
  assert float(jax.jit(variation)(image)) == pytest.approx(expected, rel=1e-6)
  flat = jnp.ones((2, 3, 3, 1))
  value, slope = jax.jit(jax.value_and_grad(variation))(flat)
  assert value == 0
  assert not slope.any()
