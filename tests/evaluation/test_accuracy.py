"""Accuracy and agreement: exact means for every batch size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from jaxkd.evaluation.accuracy import (
  Predictions,
  evaluate,
  interval,
  num_answered,
  predict,
  score,
)
from jaxkd.types import Classifier, JaxkdError, Outputs


def linear(seed, calls=None):
  def apply(variables, images, *, train=False, rng=None):
    if calls is not None:
      calls.append(images.shape)
    flat = images.reshape(len(images), -1)
    return Outputs(flat @ variables["params"]["kernel"]), {}

  kernel = jax.random.normal(jax.random.key(seed), (12, 3))
  return Classifier({"params": {"kernel": kernel}}, apply)


@pytest.fixture
def digits():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (23, 2, 3, 2), dtype=np.uint8)
  return images, rng.integers(0, 3, 23).astype(np.int32)


def by_hand(student, teacher, images, labels):
  def probs(classifier):
    kernel = np.asarray(classifier.variables["params"]["kernel"], np.float64)
    logits = (images / 255.0).reshape(len(images), -1) @ kernel
    exp = np.exp(logits)
    return exp / exp.sum(-1, keepdims=True)

  p, q = probs(teacher), probs(student)
  return {
    "accuracy": np.mean(q.argmax(-1) == labels),
    "agreement": np.mean(q.argmax(-1) == p.argmax(-1)),
    "kl": np.mean((p * np.log(p / q)).sum(-1)),
  }


@pytest.mark.parametrize("batch_size", [1, 5, 23, 500])
def test_means_do_not_depend_on_the_batch_size(digits, batch_size):
  images, labels = digits
  student, teacher = linear(0), linear(1)
  got = evaluate(
    student, images, labels, teacher=teacher, batch_size=batch_size
  )
  expected = by_hand(student, teacher, images, labels)
  assert got.keys() == expected.keys()
  for name, value in expected.items():
    assert got[name] == pytest.approx(value, rel=1e-5), name


def test_without_a_teacher_there_is_only_accuracy(digits):
  assert evaluate(linear(0), *digits).keys() == {"accuracy"}


def test_a_copy_agrees_with_its_teacher(digits):
  result = evaluate(linear(0), *digits, teacher=linear(0))
  assert result["agreement"] == 1
  assert result["kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("batch_size", [4, 500])
def test_predictions_are_in_the_order_of_the_images(digits, batch_size):
  images, _ = digits
  got = predict(linear(0), images, teacher=linear(1), batch_size=batch_size)
  for classes, seed in ((got.student, 0), (got.teacher, 1)):
    kernel = np.asarray(linear(seed).variables["params"]["kernel"])
    logits = images.reshape(len(images), -1) @ kernel
    np.testing.assert_array_equal(classes, logits.argmax(-1))


def test_images_without_an_answer_do_not_count():
  student, labels = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
  predictions = Predictions(student, np.array([0, 2, -1, -1]))
  assert num_answered(predictions) == 2
  assert score(predictions, labels) == {"accuracy": 0.75, "agreement": 0.5}
  nothing = Predictions(student, np.full(4, -1))
  assert score(nothing, labels) == {"accuracy": 0.75}


@pytest.mark.parametrize(("right", "count"), [
  (0, 7), (1, 1), (3, 7), (9881, 10_000), (10_000, 10_000),
])  # fmt: skip
def test_the_interval_is_wilsons(right, count):
  expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
  assert interval(right / count, count) == pytest.approx(expected, abs=1e-6)


def test_there_is_no_interval_of_what_is_not_known():
  assert interval(None, 10) is None
  assert interval(0.5, 0) is None


def test_floats_and_bytes_give_the_same(digits):
  images, labels = digits
  student = linear(0)
  pixels = jnp.asarray(images, jnp.float32) / 255
  assert evaluate(student, images, labels) == evaluate(student, pixels, labels)


def test_one_compilation_for_all_batches_and_calls(digits):
  calls = []
  student = linear(0, calls)
  for factor in (1.0, 2.0):
    scaled = jax.tree.map(lambda x, factor=factor: factor * x, student)
    evaluate(scaled, *digits, batch_size=10)
  assert calls == [(10, 2, 3, 2)]


@pytest.mark.parametrize("images, labels", [(0, 0), (3, 2)])
def test_mismatch_is_refused(images, labels):
  with pytest.raises(JaxkdError, match=f"{images} images and {labels} labels"):
    evaluate(linear(0), np.zeros((images, 2, 3, 2)), np.zeros(labels, int))
