"""Images that an ensemble of students labels."""

from pathlib import Path
import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd import config as c, models
from jaxkd.runtime import checkpoints
from jaxkd.training import ensemble_labeling, objectives
from jaxkd.training.ensemble_labeling import EnsembleConfig, ensemble_stage
from jaxkd.types import DataSpec, JaxkdError, Samples

SPEC = DataSpec("blobs", (2,), 3, (0.0, 0.0), (1.0, 1.0))


def network(seed):
  return models.init("mlp", jax.random.key(seed), SPEC)


class Trainer(NamedTuple):
  """Trains nothing; the n-th member has the seed n."""

  calls: dict
  workdir: Path
  samples: Samples
  config: object = c.block(epochs=3)
  spec: DataSpec = SPEC
  key: jax.Array = jax.random.key(4)

  def train(self, name, stage, supervision):
    self.calls[name] = stage, supervision, self.config.epochs
    return network(len(self.calls))


def answered(targets):
  images = jax.random.normal(jax.random.key(0), (len(targets), 2))
  return Samples(images, jnp.zeros(len(targets), jnp.int32), targets)


def make_batch(member, key):
  """Five points, labelled as the likeliest class of their mean logits."""
  images = jax.random.normal(key, (5, 2))
  answer = member(images).logits.mean(0).argmax()
  return Samples(images, jnp.full(5, answer, jnp.int32))


def run_stage(samples, size, extra_images, folder=None):
  trainer = Trainer({}, folder, samples)
  stage = ensemble_stage(
    EnsembleConfig(size, extra_images),
    objectives.teacher_cross_entropy,
    {},
    make_batch,
  )
  teacher, found = stage.run(trainer, None, samples)
  assert teacher is None
  return trainer, found


def probs(seed, images):
  logits = np.asarray(network(seed)(images).logits, np.float64)
  each = np.exp(logits - logits.max(-1, keepdims=True))
  return each / each.sum(-1, keepdims=True)


def test_targets_are_half_the_label_and_half_the_mean():
  samples = answered(jnp.array([0, 2, 1, 2]))
  _, found = run_stage(samples, 2, 0)
  mean = (probs(1, samples.images) + probs(2, samples.images)) / 2
  label = np.eye(3)[[0, 2, 1, 2]]
  np.testing.assert_allclose(np.exp(found.targets), (label + mean) / 2, 1e-5)
  np.testing.assert_array_equal(found.images, samples.images)
  np.testing.assert_array_equal(found.labels, samples.labels)


def test_soft_answers_are_averaged_with_the_mean():
  answers = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
  samples = answered(jnp.where(answers > 0, jnp.log(answers), -jnp.inf))
  _, found = run_stage(samples, 1, 0)
  expected = (answers + probs(1, samples.images)) / 2
  np.testing.assert_allclose(np.exp(found.targets), expected, 1e-5)


def test_members_are_trained_on_the_teachers_answers_as_long_as_the_student(
  tmp_path,
):
  samples = answered(jnp.array([0, 1]))
  trainer, _ = run_stage(samples, 3, 4, tmp_path)
  assert list(trainer.calls) == ["committee1", "committee2", "committee3"]
  for stage, supervision, epochs in trainer.calls.values():
    assert stage.startswith("committee_")
    assert supervision.objective is objectives.teacher_cross_entropy
    assert epochs == 15
    np.testing.assert_array_equal(supervision.targets, samples.targets)
  assert trainer.config.epochs == 3


def test_extra_images_are_labelled_by_the_ensemble(tmp_path):
  samples = answered(jnp.array([0, 2, 1, 2, 1, 0]))
  _, found = run_stage(samples, 2, 3, tmp_path)
  assert len(found.targets) == 24
  more = jax.tree.map(lambda leaf: leaf[6:], found)
  mean = (probs(1, more.images) + probs(2, more.images)) / 2
  np.testing.assert_allclose(np.exp(more.targets), mean, 1e-5)
  assert len(np.unique(more.images[:, 0])) == 18
  for start in (0, 5, 10):  # of the first member, the second, the first
    batch = more.images[start : start + 5]
    member = network(1 + start // 5 % 2)
    expected = member(batch).logits.mean(0).argmax()
    assert (more.labels[start : start + 5] == expected).all()


def test_a_stopped_run_continues(tmp_path, monkeypatch):
  samples = answered(jnp.array([0, 1, 2, 0]))
  _, whole = run_stage(samples, 2, 3, tmp_path / "whole")
  stop = threading.Event()
  monkeypatch.setattr(checkpoints, "_stop", stop)
  stop.set()
  with pytest.raises(checkpoints.Preempted):
    run_stage(samples, 2, 3, tmp_path / "stopped")
  stop.clear()
  made, add = [], ensemble_labeling.stores.insert
  monkeypatch.setattr(
    ensemble_labeling.stores, "insert", lambda *a: made.append(a) or add(*a)
  )
  _, rest = run_stage(samples, 2, 3, tmp_path / "stopped")
  jax.tree.map(np.testing.assert_array_equal, whole, rest)
  assert made
  made.clear()  # nothing is made for a folder that has it all
  _, again = run_stage(samples, 2, 3, tmp_path / "stopped")
  jax.tree.map(np.testing.assert_array_equal, whole, again)
  assert not made


def test_eight_bits_stay_eight_bits(tmp_path):
  spec = DataSpec("tiles", (4, 4, 1), 3, (0.0,), (1.0,))
  member = models.init("mlp", jax.random.key(0), spec)

  def grey(member, key):
    return Samples(jnp.full((4, 4, 4, 1), 0.2), jnp.zeros(4, jnp.int32))

  like = Samples(jnp.zeros((4, 4, 4, 1), jnp.uint8), jnp.zeros(4, jnp.int32))
  trainer = Trainer({}, tmp_path, like)
  found = ensemble_labeling._label_images(trainer, [member], grey, 4)
  assert found.images.dtype == jnp.uint8
  assert (found.images == 51).all()
  expected = jax.nn.log_softmax(member(jnp.full((4, 4, 4, 1), 0.2)).logits)
  np.testing.assert_allclose(found.targets, expected, rtol=1e-4)


def test_without_an_ensemble_there_is_no_stage():
  loss = objectives.teacher_cross_entropy
  assert ensemble_stage(EnsembleConfig(0, 0), loss, {}, make_batch) is None


def test_extra_images_without_an_ensemble_are_refused():
  loss = objectives.teacher_cross_entropy
  with pytest.raises(JaxkdError, match="extra_images=4"):
    ensemble_stage(EnsembleConfig(0, 4), loss, {}, make_batch)
