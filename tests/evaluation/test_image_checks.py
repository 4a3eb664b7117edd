"""Checks of the first images end hopeless runs, and accept sound ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.evaluation import image_checks
from jaxkd.training import sample_store as stores
from jaxkd.types import JaxkdError, Samples

CONFIG = {"synthesis.step_size": 0.1, "synthesis.weights.contrast": 10.0}


def check_variety(samples, num_classes):
  return image_checks.check_variety(samples, num_classes, CONFIG)


def check_steps(images, **terms):
  terms = {name: np.array(term) for name, term in terms.items()}
  labels = np.arange(len(images)) % 5
  return image_checks.check_steps(after(images, labels), terms, CONFIG)


def after(images, labels, capacity=64):
  samples = Samples(jnp.asarray(images), jnp.asarray(labels, jnp.int32))
  store = stores.insert(stores.init(capacity, samples), samples)
  return stores.filled(store)


def noise(count, shape=(4, 6, 3)):
  return np.random.default_rng(0).uniform(size=(count, *shape))


def test_a_sound_round_is_accepted():
  assert check_variety(after(noise(20), np.arange(20) % 5), 5) == []
  pixels = np.round(255 * noise(20)).astype(np.uint8)
  assert check_variety(after(pixels, np.arange(20) % 5), 5) == []


def test_an_empty_store_is_accepted():
  empty = stores.init(8, Samples(jnp.zeros((1, 4)), jnp.zeros(1, jnp.int32)))
  assert check_variety(stores.filled(empty), 5) == []


def test_one_class_is_found():
  labels = np.r_[np.full(19, 3), 1]
  (line,) = check_variety(after(noise(20), labels), 5)
  assert "95% of the first 20 images are of class 3 for the teacher" in line


def test_copies_are_found_but_not_the_empty_part_of_the_store():
  labels = np.arange(20) % 5
  (line,) = check_variety(after(noise(9)[np.arange(20) % 9], labels), 5)
  assert "55% of the first 20 images are exact copies" in line
  half = noise(10)[np.arange(20) % 10]
  assert check_variety(after(half, labels), 5) == []


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_black_and_white_is_found(dtype):
  top = 255 if dtype == np.uint8 else 1
  images = (top * (noise(20) > 0.5)).astype(dtype)
  images[0, 0, 0] = top / 2  # 3 of 1,440 numbers
  (line,) = check_variety(after(images, np.arange(20) % 5), 5)
  assert "100% of the pixels" in line


def test_points_have_no_edge():
  points = 5 + noise(20, (2,))
  assert check_variety(after(points, np.arange(20) % 5), 5) == []


def test_a_generator_of_nothing_but_black_and_white_ends_the_run():
  images = (noise(20) > 0.5).astype(np.float32)
  with pytest.raises(JaxkdError, match="100.0% of the pixels .* lower synth"):
    check_variety(after(images, np.arange(20) % 5), 5)


def test_a_generator_of_one_image_ends_the_run():
  images = noise(1) + 1e-5 * noise(20)
  # A finished run is not lost.
  labels = np.arange(20) % 5
  assert image_checks.variety_warnings(after(images, labels), 5, CONFIG) == []
  with pytest.raises(JaxkdError, match="the same up to") as error:
    check_variety(after(images, np.arange(20) % 5), 5)
  assert "lower synthesis.step_size (0.1)" in str(error.value)


def test_images_far_from_pixels_end_the_run():
  assert check_steps(noise(20) * 30 - 15) == []  # as published steps leave them
  with pytest.raises(JaxkdError, match=r"-1e\+06 to 1, .* gradients") as error:
    check_steps(np.concatenate([noise(19), -1e6 * np.ones((1, 4, 6, 3))]))
  assert "lower synthesis.step_size (0.1)." in str(error.value)


def test_steps_in_pixels_are_a_remedy_where_there_are_some():
  images, labels = -1e6 * noise(5), np.arange(5)
  config = {**CONFIG, "synthesis.step_unit": "gradient"}
  with pytest.raises(JaxkdError, match=r"\(0.1\), or set .*step_unit=pixel\.$"):
    image_checks.check_steps(after(images, labels), {}, config)


def test_pixels_that_are_no_numbers_end_the_run():
  images = noise(20)
  images[0, 0, 0, 0] = np.nan
  with pytest.raises(JaxkdError, match=r"0.1% of them NaN or infinite"):
    check_steps(images)


def test_points_may_be_anywhere():
  assert check_steps(1e6 * noise(20, (2,))) == []


def test_a_rising_loss_warns_and_an_exploding_one_ends_the_run():
  images = noise(20)
  assert check_steps(images, first_loss=[3.0, 9.0], loss=[1.0, 10.0]) == []
  (line,) = check_steps(images, first_loss=[3.0, 2.0], loss=[1.0, 20.0])
  assert "rises from 2 to 20 over the steps of set 1" in line
  with pytest.raises(JaxkdError, match="rises from 2 to 2e.09 .* set 0"):
    check_steps(images, first_loss=[2.0, 3.0], loss=[2e9, 1e9])
  # One set of many, or one whose first loss was next to nothing.
  (line,) = check_steps(images, first_loss=[2.0, 3, 3], loss=[2e9, 1, 1])
  assert check_steps(images, first_loss=[1e-9, 3, 3], loss=[1, 1, 1]) == []


def test_real_images_may_be_black_and_white():
  images = (noise(20) > 0.5).astype(np.float32)
  samples = after(images, np.arange(20) % 5)
  (line,) = image_checks.check_variety(samples, 5, {})
  assert line.endswith("black or white; choose other images.")


def test_a_method_without_step_sizes_is_advised_otherwise():
  images = noise(9)[np.arange(20) % 9]
  samples = after(images, np.arange(20) % 5)
  (line,) = image_checks.check_variety(samples, 5, {"synthesis.batch_size": 5})
  assert "choose other images" in line
  assert "lower" not in line
