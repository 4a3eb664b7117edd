"""The data sets inside of the package, and the specs of all named sets."""

import hashlib

import numpy as np
import pytest

from jaxkd.config import POINTS
from jaxkd.data import (
  DATASETS,
  load,
  names,
  points as points_module,
  spec,
  to_float,
)
from jaxkd.types import JaxkdError


@pytest.fixture(scope="module")
def digits():
  return load("mnist_5k")


def test_mnist_5k_is_stratified(digits):
  assert digits.train_images.shape == (4000, 28, 28, 1)
  assert digits.test_images.shape == (1000, 28, 28, 1)
  assert digits.train_images.dtype == np.uint8
  assert digits.train_labels.dtype == np.int32
  np.testing.assert_array_equal(np.bincount(digits.train_labels), [400] * 10)
  np.testing.assert_array_equal(np.bincount(digits.test_labels), [100] * 10)
  np.testing.assert_array_equal(np.bincount(digits.train_labels[:50]), [5] * 10)


def test_mnist_5k_splits_are_disjoint(digits):
  train = {image.tobytes() for image in digits.train_images}
  test = {image.tobytes() for image in digits.test_images}
  assert len(train) == 4000
  assert not train & test


def test_mnist_5k_never_changes(digits):
  digest = hashlib.sha256()
  for array in digits[1:]:
    digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
  assert digest.hexdigest()[:16] == "9daf543b6cbdc633"


def test_mnist_5k_matches_its_normaliser(digits):
  pixels = to_float(digits.train_images)
  assert pixels.dtype == np.float32
  np.testing.assert_allclose(pixels.mean(), digits.spec.mean[0], atol=0.005)
  np.testing.assert_allclose(pixels.std(), digits.spec.std[0], atol=0.005)


def test_resize_keeps_constants_and_brightness(digits):
  large = load("mnist_5k", image_size=32)
  assert large.spec.shape == (32, 32, 1)
  assert large.train_images.shape == (4000, 32, 32, 1)
  assert large.train_images.dtype == np.uint8
  np.testing.assert_array_equal(large.train_labels, digits.train_labels)
  np.testing.assert_allclose(
    large.train_images.mean((1, 2, 3)),
    digits.train_images.mean((1, 2, 3)),
    atol=1.0,
  )


@pytest.mark.parametrize("name", POINTS)
def test_points_are_standardised_with_train_statistics(name):
  points = load(name)
  info = DATASETS[name]
  assert points.train_images.shape == (info.train_size, 2)
  assert points.test_images.shape == (info.test_size, 2)
  assert points.train_images.dtype == np.float32
  np.testing.assert_allclose(points.train_images.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(points.train_images.std(0), 1, atol=1e-5)
  assert abs(points.test_images.mean(0)).max() > 1e-5  # not its own statistics
  np.testing.assert_allclose(points.test_images.std(0), 1, atol=0.05)
  train = {point.tobytes() for point in points.train_images}
  assert not train & {point.tobytes() for point in points.test_images}


@pytest.mark.parametrize(
  ("name", "shares"),
  [
    ("two_moons", (1 / 2, 1 / 2)),
    ("noisy_moons", (1 / 2, 1 / 2)),
    ("blobs", (1 / 3, 1 / 3, 1 / 3)),
    ("circles", (1 / 2, 1 / 2)),
    ("aniso", (1 / 2, 1 / 2)),
    ("checkerboard", (5 / 9, 4 / 9)),
  ],
)
def test_classes_of_points_are_about_as_frequent_as_their_clusters(
  name, shares
):
  labels = load(name).train_labels
  found = np.bincount(labels) / len(labels)
  np.testing.assert_allclose(found, shares, atol=1e-3)


def test_two_moons_never_change():
  moons = load("two_moons")
  np.testing.assert_allclose(
    moons.train_images[0], (0.41625682, 0.76424187), rtol=1e-6
  )


def test_configs_and_data_name_the_same_points():
  assert tuple(points_module.POINTS) == POINTS


def test_specs_agree_with_their_shapes():
  for name in names():
    native = spec(name)
    assert native.name == name
    channels = native.shape[-1]
    assert len(native.mean) == len(native.std) == channels
    assert min(native.std) > 0
    assert DATASETS[name].version or not DATASETS[name].urls


@pytest.mark.parametrize(
  ("name", "size", "message"),
  [
    ("mnst", 0, "Did you mean mnist"),
    ("cifar11", 0, "cifar10"),
    ("imagenet", 0, "two_moons"),
    ("two_moons", 32, "points"),
    ("mnist", -1, "negative"),
  ],
)
def test_spec_names_the_mistake(name, size, message):
  with pytest.raises(JaxkdError, match=message):
    spec(name, size)
  with pytest.raises(JaxkdError, match=message):
    load(name, image_size=size)
