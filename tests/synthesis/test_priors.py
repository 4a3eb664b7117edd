import jax
import numpy as np

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


def test_normal_is_standard_in_the_normalised_space():
  inputs = priors.normal(jax.random.key(0), 500, SPEC)
  assert inputs.shape == (500, 4, 4, 2)
  pixels = priors.to_pixels(inputs, SPEC)
  np.testing.assert_allclose(pixels.mean((0, 1, 2)), SPEC.mean, atol=0.01)
  np.testing.assert_allclose(pixels.std((0, 1, 2)), SPEC.std, rtol=0.05)
