"""Each exit of a skeptical student has its own loss, and its own start."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
from method_builder import build_method
from network_weights import same
import numpy as np
import optax
import pytest

import jaxkd
from jaxkd import models
from jaxkd.training import objectives
from jaxkd.training.contrastive_sequence import mean_classifier
from jaxkd.types import (
  Classifier,
  DataSpec,
  JaxkdError,
  LossContext,
  Outputs,
  Samples,
)

CONFIGS = Path(__file__).parents[2] / "configs"
SPEC = DataSpec("toy", (4,), 3, (0.0,), (1.0,))
HYPER = {"temperature": 4.0, "alpha": 0.9}
THREE = {**HYPER, "multiplier": 5.0}
SYNTHESIS = {
  "fraction": 1.0,
  "labels": "truth",
  "answers": "per_view",
  "term": "kd",
  "loc": 2,
  "kd_delay": -1,
  "self_target": "stopped",
  "length": 2,
  "member": "",
  "include_teacher": True,
  "omega": 0.04,
  "temperature": 4.0,
}


def build(hyper=None, **changes):
  return build_method(
    "skeptical",
    SPEC,
    hyper=hyper or HYPER,
    num_images=20,
    **SYNTHESIS | changes,
  )


def layers():
  """Three layers, each with an exit; the last exit is the network's."""
  random = np.random.RandomState(0)
  return {
    "layers": list(random.normal(size=(3, 4, 4)).astype(np.float32)),
    "exits": list(random.normal(size=(3, 4, 3)).astype(np.float32)),
  }


def outputs(params, images):
  logits = []
  for layer, leaving in zip(params["layers"], params["exits"], strict=True):
    images = jnp.tanh(images @ layer)
    logits.append(images @ leaving)
  return Outputs(logits[2], heads=(logits[1], logits[0]))


def samples(count=8):
  random = np.random.RandomState(1)
  images, logits = (
    random.normal(size=(count, 4)),
    random.normal(size=(count, 3)),
  )
  labels = np.arange(count, dtype=np.int32) % 3
  return Samples(
    jnp.float32(images), jnp.asarray(labels), jax.nn.log_softmax(logits)
  )


def context(epoch=0):
  return LossContext(jnp.int32(epoch), jnp.zeros(3))


def loss(params, epoch=0, hyper=None, shown=None, **changes):
  hyper, shown = hyper or HYPER, shown or samples()
  objective = build(hyper, **changes).objective
  outs = outputs(params, shown.images)
  return objective(hyper, outs, shown, context(epoch))


def truth(logits):
  return optax.softmax_cross_entropy_with_integer_labels(
    logits, samples().labels
  )


def own_terms(outs, temperature=4.0):
  """What o_1 learns from o_0, by the definition of the divergence."""
  last = jax.nn.softmax(outs.logits / temperature)
  deepest = jax.nn.log_softmax(outs.heads[0] / temperature)
  divergence = (last * (jnp.log(last) - deepest)).sum(-1)
  return 0.3 * divergence + 0.7 * truth(outs.heads[0])


@pytest.mark.parametrize("loc", [0, 1, 2])
def test_the_loss_is_its_three_parts(loc):
  params = layers()
  outs = outputs(params, samples().images)
  logits = (outs.logits, *outs.heads)[loc]
  kd = objectives.kd(HYPER, Outputs(logits), samples(), context())
  np.testing.assert_allclose(
    loss(params, loc=loc),
    kd + own_terms(outs) + truth(outs.logits),
    rtol=1e-5,
  )


def test_with_the_teacher_at_the_last_exit_it_is_plain_distillation():
  params = layers()
  outs = outputs(params, samples().images)
  without = loss(params, loc=0) - own_terms(outs) - truth(outs.logits)
  kd = objectives.kd(HYPER, outs, samples(), context())
  np.testing.assert_allclose(without, kd, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("delay", [-1, 0, 2])
def test_until_the_delay_is_over_the_last_exit_learns_alone(delay):
  params = layers()
  outs = outputs(params, samples().images)
  for epoch in range(4):
    losses = loss(params, epoch=epoch, kd_delay=delay)
    alone = np.allclose(losses, truth(outs.logits), atol=1e-6)
    assert alone == (epoch <= delay)


@pytest.mark.parametrize("term", ["kd", "htc", "scm"])
@pytest.mark.parametrize("loc", [1, 2])
def test_the_teacher_reaches_only_what_lies_below_its_exit(term, loc):
  """The slope that changes with the teacher's answers."""
  hyper = HYPER if term == "kd" else THREE
  other = samples()._replace(targets=samples().targets[::-1])

  def slope(shown):
    def mean(params):
      return loss(params, hyper=hyper, shown=shown, loc=loc, term=term).mean()

    return jax.jit(jax.grad(mean))(layers())

  moved = jax.tree.map(
    lambda a, b: bool(jnp.abs(a - b).max() > 0), slope(samples()), slope(other)
  )
  trained = 3 - loc  # layers below the exit, of three
  assert moved["layers"] == [i < trained for i in range(3)]
  assert moved["exits"] == [i == trained - 1 for i in range(3)]


def test_the_last_exit_may_be_pulled_towards_the_deepest():
  def slope(self_target):
    def mean(params):
      return loss(params, self_target=self_target).mean()

    return jax.jit(jax.grad(mean))(layers())["exits"][2]

  def plain(params):
    return truth(outputs(params, samples().images).logits).mean()

  alone = jax.jit(jax.grad(plain))(layers())["exits"][2]
  np.testing.assert_allclose(slope("stopped"), alone, atol=1e-6)
  assert np.abs(slope("through") - alone).max() > 1e-4
  np.testing.assert_allclose(
    loss(layers(), self_target="through"), loss(layers()), rtol=1e-6
  )


@pytest.mark.parametrize(
  ("loc", "heads", "message"),
  [
    (1, 0, "synthesis.loc=1: .* 0 early exits; .*student.model"),
    (0, 0, "0 early exits"),
    (3, 2, "synthesis.loc=3: .* 2 early exits"),
  ],
)
def test_a_student_without_the_exit_is_refused(loc, heads, message):
  logits = jnp.zeros((8, 3))
  outs = Outputs(logits, heads=heads * (logits,))
  with pytest.raises(JaxkdError, match=message):
    build(loc=loc).objective(HYPER, outs, samples(), context())


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"term": "hct"}, "synthesis.term 'hct'.*mean htc"),
    ({"self_target": "thru"}, "synthesis.self_target 'thru'"),
    ({"loc": -1}, "synthesis.loc=-1"),
    ({"kd_delay": -2}, "synthesis.kd_delay=-2"),
    ({"term": "htc"}, "hyper has alpha, temperature; .* multiplier"),
    ({"term": "scm", "hyper": THREE, "length": 0}, "synthesis.length=0"),
  ],
)
def test_what_can_not_be_is_refused_by_its_field(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_scm_puts_the_ensemble_in_the_teachers_place():
  assert build().pre_student_stage is None
  assert build(THREE, term="htc").pre_student_stage is None
  prepare = build(THREE, term="scm").pre_student_stage.run

  def scaled(scale):
    return Classifier(scale, lambda scale, x, **_: (Outputs(scale * x), {}))

  class Trainer:
    def train(self, name, stage, supervision, model):
      return scaled(3.0)

  effective, _ = prepare(Trainer(), scaled(1.0), samples())
  images = samples().images
  np.testing.assert_allclose(effective(images).logits, 2 * images, rtol=1e-6)
  expected = mean_classifier([scaled(1.0), scaled(3.0)])(images).logits
  np.testing.assert_array_equal(effective(images).logits, expected)


class TwoExits(nn.Module):
  """A network that compiles at once."""

  num_classes: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, *, train=False):
    x = nn.relu(nn.Dense(8)(images.reshape(len(images), -1)))
    y = nn.relu(nn.Dense(8)(x))
    heads = nn.Dense(self.num_classes)(y), nn.Dense(self.num_classes)(x)
    return Outputs(nn.Dense(self.num_classes)(y), heads=heads)


def dataset(count, seed):
  random = np.random.RandomState(seed)
  labels = random.randint(0, 3, count).astype(np.int32)
  images = random.randint(0, 150, (count, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    image[:, 2 * label : 2 * label + 3] += 80
  return images.astype(np.uint8), labels


@pytest.mark.slow
@pytest.mark.parametrize(
  "student",
  ["two_exits", pytest.param("skeptical_cnn_quarter", marks=pytest.mark.slow)],
)
def test_a_whole_run(tmp_path, monkeypatch, student):
  monkeypatch.setitem(models.NETWORKS, "two_exits", TwoExits)
  spec = DataSpec("stripes", (8, 8, 1), 3, (0.5,), (0.5,))
  data = jaxkd.Dataset(spec, *dataset(80, 0), *dataset(40, 1))
  config = jaxkd.load_config(f"{CONFIGS}/skeptical.py:smoke")
  config.image_size = 0
  config.teacher.model, config.student.model = "mlp", student
  config.teacher.batch_size = config.student.batch_size = 24
  trained, report = jaxkd.distill(None, config, tmp_path, dataset=data)
  assert report["method"] == "skeptical"
  assert report["defense"]["name"] == "nasty"
  assert report["guide"] is None
  assert report["grid"] is None
  # The last exit is evaluated.
  images = data.test_images / np.float32(255)
  right = trained(images).logits.argmax(-1) == data.test_labels
  assert report["student"]["accuracy"] == pytest.approx(float(right.mean()))
  file = (tmp_path / "student.safetensors").read_bytes()
  again, _ = jaxkd.distill(None, config, tmp_path, dataset=data)
  same(again, trained)
  assert (tmp_path / "student.safetensors").read_bytes() == file
