"""A sequence of networks, each trained to be far from the one before, has a
mean in which their false peaks cancel.
"""

import jax
import jax.numpy as jnp
from network_weights import same
import numpy as np
import pytest

from jaxkd import config as c, models
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.training import contrastive_sequence, objectives
from jaxkd.training.contrastive_sequence import (
  ContrastiveSequence,
  mean_classifier,
)
from jaxkd.training.trained_network import Trainer
from jaxkd.types import (
  Classifier,
  DataSpec,
  JaxkdError,
  LossContext,
  Outputs,
  Samples,
)

SPEC = DataSpec("blobs", (2,), 3, (0.0, 0.0), (1.0, 1.0))
CONTEXT = LossContext(jnp.int32(0), jnp.zeros(3))


def three(**changes):
  fields = {
    "length": 3,
    "member": "",
    "include_teacher": True,
    "omega": 0.1,
    "temperature": 4.0,
  }
  return ContrastiveSequence(**fields | changes)


def network(seed):
  return models.init("mlp", jax.random.key(seed), SPEC)


def samples(count=24):
  images = jax.random.normal(jax.random.key(1), (count, 2))
  return Samples(images, (images[:, 0] > 0).astype(jnp.int32))


def answered(teacher):
  logits = teacher(samples().images).logits
  return samples()._replace(targets=jax.nn.log_softmax(logits))


@pytest.fixture
def trainer(tmp_path, monkeypatch):
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  with MetricsWriter(tmp_path) as metrics:
    yield lambda folder: Trainer(
      c.block(
        model="mlp",
        epochs=2,
        batch_size=8,
        augment=(),
        optimizer=c.optimizer("adam", 0.01),
      ),
      SPEC,
      samples(),
      jax.tree.map(lambda leaf: leaf[:0], samples()),
      jax.random.key(2),
      tmp_path / folder,
      metrics,
    )


class Recorder:
  """A trainer that trains nothing; members are told apart by their seeds."""

  def __init__(self):
    self.calls, self.models = {}, {}

  def train(self, name, stage, supervision, model=""):
    assert name not in self.calls
    self.calls[name], self.models[name] = supervision, model
    return network(len(self.calls) + 10)


def logits(members):
  return mean_classifier(members)(samples().images).logits


def test_the_mean_does_not_depend_on_the_order():
  a, b, d = network(0), network(1), network(2)
  np.testing.assert_allclose(
    logits([a, b, d]), logits([d, a, b]), rtol=1e-5, atol=1e-6
  )


def test_the_mean_of_equals_is_each_of_them():
  one = network(0)
  np.testing.assert_allclose(
    logits([one, one, one]), one(samples().images).logits, atol=1e-6
  )


def test_false_peaks_that_lie_elsewhere_cancel():
  """Of two members, each with a peak at a wrong class of its own."""

  def says(values):
    def apply(variables, images, *, train=False, rng=None):
      return Outputs(jnp.broadcast_to(variables, (len(images), 3))), {}

    return Classifier(jnp.array(values), apply)

  members = [says([6.0, 5.0, -5.0]), says([6.0, -5.0, 5.0])]
  np.testing.assert_allclose(logits(members)[0], [6.0, 0.0, 0.0])


def test_each_member_is_contrasted_with_the_one_before():
  recorder, teacher = Recorder(), network(0)
  effective_teacher, same_samples = contrastive_sequence.sequence_stage(
    three()
  ).run(recorder, teacher, answered(teacher))
  assert list(recorder.calls) == ["member2", "member3"]
  second, third = recorder.calls.values()
  assert second.reference is teacher
  same(third.reference, network(11))
  assert second.hyper == {"temperature": 4.0, "omega": 0.1}
  assert second.targets is None
  expected = logits([teacher, network(11), network(12)])
  np.testing.assert_array_equal(
    effective_teacher(samples().images).logits, expected
  )
  np.testing.assert_array_equal(same_samples.targets, answered(teacher).targets)


def test_the_teacher_may_be_left_out_of_the_mean():
  without = contrastive_sequence.sequence_stage(
    three(include_teacher=False)
  ).run
  effective_teacher, _ = without(Recorder(), network(0), answered(network(0)))
  np.testing.assert_array_equal(
    effective_teacher(samples().images).logits,
    logits([network(11), network(12)]),
  )
  recorder = Recorder()
  no_teacher, mean = without(recorder, None, answered(network(0)))
  assert no_teacher is None
  expected = [
    jax.nn.log_softmax(network(seed)(samples().images).logits)
    for seed in (11, 12)
  ]
  np.testing.assert_allclose(mean.targets, sum(expected) / 2, atol=1e-5)
  np.testing.assert_array_equal(
    recorder.calls["member2"].targets, answered(network(0)).targets
  )


def test_members_may_be_of_another_architecture():
  recorder = Recorder()
  contrastive_sequence.sequence_stage(three(member="ideal_mlp")).run(
    recorder, network(0), answered(network(0))
  )
  assert set(recorder.models.values()) == {"ideal_mlp"}


def test_a_sequence_of_one_is_the_teacher():
  teacher = network(0)
  effective_teacher, _ = contrastive_sequence.sequence_stage(
    three(length=1)
  ).run(Recorder(), teacher, answered(teacher))
  np.testing.assert_allclose(
    effective_teacher(samples().images).logits, teacher(samples().images).logits
  )


def test_with_one_member_and_t_squared_the_loss_is_kds():
  outputs = Outputs(network(1)(samples().images).logits)
  shown = answered(network(0))
  hyper = {"temperature": 4.0, "alpha": 0.9}
  np.testing.assert_allclose(
    objectives.scm({**hyper, "multiplier": 16.0}, outputs, shown, CONTEXT),
    objectives.kd(hyper, outputs, shown, CONTEXT),
    rtol=1e-5,
  )


@pytest.mark.slow
def test_stored_answers_do_as_well_as_a_white_box(trainer):
  """Without augmentation each view is the image itself."""
  teacher = network(0)
  run_stage = contrastive_sequence.sequence_stage(three()).run
  effective_teacher, _ = run_stage(trainer("near"), teacher, answered(teacher))
  no_teacher, stored = run_stage(trainer("far"), None, answered(teacher))
  assert no_teacher is None
  np.testing.assert_allclose(
    jax.nn.log_softmax(stored.targets),
    jax.nn.log_softmax(effective_teacher(samples().images).logits),
    atol=1e-4,
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"length": 1, "include_teacher": False}, "synthesis.length=1 without"),
    ({"member": "mpl"}, "synthesis.member 'mpl'.*mlp"),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(changes, message):
  with pytest.raises(JaxkdError, match=message):
    contrastive_sequence.sequence_stage(three(**changes))
