import jax
import numpy as np
import pytest

from jaxkd.synthesis import priors
from jaxkd.types import DataSpec, JaxkdError

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


def test_normal_is_standard_in_the_normalised_space():
  inputs = priors.normal(jax.random.key(0), 500, SPEC)
  assert inputs.shape == (500, 4, 4, 2)
  pixels = priors.to_pixels(inputs, SPEC)
  np.testing.assert_allclose(pixels.mean((0, 1, 2)), SPEC.mean, atol=0.01)
  np.testing.assert_allclose(pixels.std((0, 1, 2)), SPEC.std, rtol=0.05)


@pytest.mark.parametrize(("mean", "std"), [(0.1307, 0.3081), (0.47, 0.25)])
def test_toned_images_have_the_mean_and_the_spread(mean, std):
  pre = 3 + 0.1 * jax.random.normal(jax.random.key(0), (200, 16, 16, 1))
  images = priors.tones(mean, std)(pre)
  assert images.mean() == pytest.approx(mean, abs=0.01)
  assert images.std() == pytest.approx(std, abs=0.01)


def test_a_spread_that_no_pixels_have_is_refused():
  with pytest.raises(JaxkdError, match="tones"):
    priors.tones(0.5, 0.6)
