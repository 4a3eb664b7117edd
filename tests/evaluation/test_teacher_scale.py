"""The scale of a teacher grows with its logits, and is what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import from_function
from jaxkd.evaluation import teacher_scale

IMAGES = jax.random.uniform(jax.random.key(0), (200, 2, 3, 1))
KERNEL = jax.random.normal(jax.random.key(1), (6, 3))


def teacher(kernel):
  return from_function(lambda w, x: x.reshape(len(x), -1) @ w + 7.0, kernel)


def test_logits_and_gradients_are_measured():
  scale = teacher_scale.measure(teacher(KERNEL), IMAGES)
  logits = np.asarray(IMAGES.reshape(200, -1) @ KERNEL)
  centred = logits - logits.mean(1, keepdims=True)  # an offset means nothing
  assert float(scale.logit_std) == pytest.approx(centred.std(), rel=1e-4)
  order = np.argsort(logits, axis=1)
  margins = (
    np.asarray(KERNEL).T[order[:, 2]] - np.asarray(KERNEL).T[order[:, 1]]
  )
  expected = np.sqrt(np.square(margins).mean())
  assert float(scale.gradient) == pytest.approx(expected, rel=1e-4)
  share = np.bincount(logits.argmax(1)).max() / 200
  assert float(scale.class_share) == pytest.approx(share)


def test_ten_times_the_logits_are_ten_times_the_scale_and_more_certain():
  one = teacher_scale.measure(teacher(KERNEL), IMAGES)
  ten = teacher_scale.measure(teacher(10 * KERNEL), IMAGES)
  np.testing.assert_allclose(ten[:2], 10 * jnp.array(one[:2]), rtol=1e-3)
  assert float(ten.entropy) < 0.5 * float(one.entropy)
  assert ten.class_share == one.class_share


def test_a_teacher_that_knows_nothing_has_the_largest_entropy():
  scale = teacher_scale.measure(teacher(0 * KERNEL), IMAGES)
  assert float(scale.entropy) == pytest.approx(np.log(3), rel=1e-5)
  assert float(scale.logit_std) == float(scale.gradient) == 0.0


def test_the_network_is_given_batches():
  """Convolutions under a `vmap` over single images are slow on the CPU."""
  sizes = set()

  def apply(kernel, images):
    sizes.add(len(images))
    return images.reshape(len(images), -1) @ kernel

  teacher_scale.measure(from_function(apply, KERNEL), IMAGES)
  assert 1 not in sizes
