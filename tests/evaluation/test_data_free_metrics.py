"""Metrics on synthetic samples, compared with their definitions in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.evaluation import data_free_metrics
from jaxkd.types import Classifier, Outputs, Samples

CLASSES = 4


def linear(seed):
  def apply(variables, images, *, train=False, rng=None):
    return Outputs(images.reshape(len(images), -1) @ variables), {}

  kernel = 2 * jax.random.normal(jax.random.key(seed), (12, CLASSES))
  return Classifier(kernel, apply)


@pytest.fixture
def samples():
  images = jax.random.uniform(jax.random.key(7), (23, 2, 3, 2))
  answers = jax.nn.log_softmax(linear(1)(images).logits)
  return Samples(images, jnp.full(23, -1), answers)


def softmax(logits):
  exp = np.exp(np.asarray(logits, np.float64))
  return exp / exp.sum(-1, keepdims=True)


def by_hand(samples, student):
  images = np.asarray(samples.images, np.float64)
  p, q = softmax(samples.targets), softmax(student(samples.images).logits)
  labels, predictions = p.argmax(-1), q.argmax(-1)
  agree, confidence = labels == predictions, q.max(-1)
  error = 0
  for b in range(15):
    inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
    if inside.any():
      gap = abs(agree[inside].mean() - confidence[inside].mean())
      error += inside.mean() * gap

  def distance(pairs):
    return np.mean([((images[i] - images[j]) ** 2).sum() for i, j in pairs])

  pairs = list(itertools.combinations(range(len(images)), 2))
  same = [(i, j) for i, j in pairs if labels[i] == labels[j]]
  mean = p.mean(0)
  return {
    "agreement": agree.mean(),
    "kl": (p * np.log(p / q)).sum(-1).mean(),
    "calibration_error": error,
    "teacher_coverage": len(set(labels)) / CLASSES,
    "student_coverage": len(set(predictions)) / CLASSES,
    "answer_entropy": -(mean * np.log(mean)).sum(),
    "answer_entropy_share": -(mean * np.log(mean)).sum() / np.log(CLASSES),
    "sample_entropy": -(p * np.log(p)).sum(-1).mean(),
    "diversity": distance(same) / distance(pairs),
    "duplicates": 0,
  }


@pytest.mark.parametrize("batch_size", [1, 5, 23, 500])
def test_metrics_equal_their_definitions(samples, batch_size, monkeypatch):
  monkeypatch.setattr(data_free_metrics, "BATCH_SIZE", batch_size)
  student = linear(0)
  got = data_free_metrics.measure(samples.targets, student, samples, CLASSES)
  assert got == pytest.approx(by_hand(samples, student), rel=1e-4)


def test_answers_are_defined_up_to_a_constant_and_may_be_zero(samples):
  student = linear(0)
  shifted = samples.targets + 3.0
  got = data_free_metrics.measure(shifted, student, samples, CLASSES)
  assert got == pytest.approx(by_hand(samples, student), rel=1e-4)
  sure = jnp.where(samples.targets > -0.7, 0.0, -jnp.inf)
  sure = jnp.where((sure == 0).any(-1, keepdims=True), sure, 0.0)
  got = data_free_metrics.measure(sure, student, samples, CLASSES)
  assert all(np.isfinite(value) for value in got.values())


def test_labels_leave_some_metrics_unknown(samples):
  student, labels = linear(0), samples.targets.argmax(-1).astype(jnp.int32)
  got = data_free_metrics.measure(labels, student, samples, CLASSES)
  soft = {"kl", "answer_entropy", "answer_entropy_share", "sample_entropy"}
  assert {name for name, value in got.items() if value is None} == soft
  expected = by_hand(samples, student)
  for name in got.keys() - soft:
    assert got[name] == pytest.approx(expected[name], rel=1e-4), name


def test_without_samples_all_metrics_are_unknown(samples):
  none = jax.tree.map(lambda leaf: leaf[:0], samples)
  got = data_free_metrics.measure(none.targets, linear(0), none, CLASSES)
  assert got == dict.fromkeys(data_free_metrics.METRICS)


def test_a_copy_of_the_teacher_agrees(samples):
  got = data_free_metrics.measure(samples.targets, linear(1), samples, CLASSES)
  assert got["agreement"] == 1
  assert got["kl"] == pytest.approx(0, abs=1e-6)


def diversity(images, labels):
  samples = Samples(jnp.asarray(images, jnp.float32), jnp.asarray(labels))
  images = samples.images.reshape(-1, 2, 3, 2)
  samples = samples._replace(images=images)
  return data_free_metrics.measure(samples.labels, linear(0), samples, CLASSES)


def test_diversity_is_zero_with_one_image_per_class():
  rng = np.random.default_rng(0)
  two = rng.uniform(size=(2, 12))
  labels = np.array([0, 1] * 5, np.int32)
  got = diversity(two[labels], labels)
  assert got["diversity"] == pytest.approx(0, abs=1e-5)
  assert got["duplicates"] == pytest.approx(0.8)
  got = diversity(rng.uniform(size=(400, 12)), np.array([0, 1] * 200, np.int32))
  assert got["diversity"] == pytest.approx(1, abs=0.02)
  assert got["duplicates"] == 0


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_diversity_may_be_unknown(labels):
  # No class has two images; or all images are the same.
  images = np.ones((3, 12)) * (np.arange(3)[:, None] if any(labels) else 1)
  got = diversity(images, np.array(labels, np.int32))
  assert got["diversity"] is None


def test_eight_bits_and_floats_give_the_same_metrics():
  rng = np.random.default_rng(1)
  pixels = rng.integers(0, 256, (9, 2, 3, 2), dtype=np.uint8)
  labels = jnp.asarray(rng.integers(0, CLASSES, 9), jnp.int32)
  ints = Samples(jnp.asarray(pixels), labels)
  floats = Samples(jnp.asarray(pixels, jnp.float32) / 255, labels)
  first, second = (
    data_free_metrics.measure(labels, linear(0), each, CLASSES)
    for each in (ints, floats)
  )
  known = [name for name, value in first.items() if value is not None]
  assert "diversity" in known
  for name in known:
    assert first[name] == pytest.approx(second[name], rel=1e-5), name


def test_one_compilation_for_all_students(samples):
  calls = []

  def apply(variables, images, *, train=False, rng=None):
    calls.append(images.shape)
    return Outputs(images.reshape(len(images), -1) @ variables), {}

  for factor in (1.0, 2.0):
    student = Classifier(factor * linear(0).variables, apply)
    data_free_metrics.measure(samples.targets, student, samples, CLASSES)
  assert calls == [(23, 2, 3, 2)]


def test_a_prediction_compares_estimate_and_agreement():
  pairs = [(0.9, 0.8), (0.8, 0.85), (0.7, 0.6), (0.6, 0.5)]
  got = data_free_metrics.prediction(0.9, 0.85, pairs)
  assert got == {
    "estimate": 0.9,
    "agreement": 0.85,
    "gap": pytest.approx(0.05),
    "rank_correlation": pytest.approx(0.8),
  }


@pytest.mark.parametrize(
  "pairs",
  [
    [],
    [(0.9, 0.8), (0.8, 0.7)],  # two pairs are always in order or in reverse
    [(0.9, 0.8), (0.9, 0.7), (0.9, 0.6)],
    [(0.9, None), (0.8, None), (0.7, None)],
  ],
)
def test_a_rank_correlation_needs_ranks(pairs):
  got = data_free_metrics.prediction(0.9, None, pairs)
  assert got["rank_correlation"] is None
  assert got["gap"] is None
