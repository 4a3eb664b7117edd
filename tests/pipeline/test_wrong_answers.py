"""Images whose answers are not valid are left out of a round."""

import jax.numpy as jnp
import numpy as np

from jaxkd.pipeline.host_exchange import leave_out_wrong
from jaxkd.types import Samples


def samples(count):
  images = jnp.arange(count, dtype=jnp.uint8).reshape(count, 1, 1, 1)
  return Samples(images, jnp.arange(count, dtype=jnp.int32))


def test_a_copy_of_an_answered_image_takes_the_place():
  made = leave_out_wrong(samples(5), np.int32([7, -1, 8, -1, -1]))
  np.testing.assert_array_equal(made.images.ravel(), [0, 0, 2, 2, 0])
  np.testing.assert_array_equal(made.labels, [0, 0, 2, 2, 0])
  np.testing.assert_array_equal(made.targets, [7, 7, 8, 8, 7])


def test_scores_that_are_nan_are_left_out():
  targets = np.float32([[0, -9], [np.nan, np.nan], [-9, 0]])
  made = leave_out_wrong(samples(3), targets)
  np.testing.assert_array_equal(made.images.ravel(), [0, 0, 2])
  np.testing.assert_array_equal(made.targets, targets[[0, 0, 2]])
