"""CMI's terms are those by hand; its bank and head outlive a round, and its
generator does not.
"""

from pathlib import Path

from batch_norm_network import normed
from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
from network_weights import same
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, network

import jaxkd
from jaxkd import models
from jaxkd.methods import cmi
from jaxkd.synthesis import batch_statistics
from jaxkd.types import JaxkdError, LossContext, Networks, Outputs, Samples

CONFIGS = Path(__file__).parents[2] / "configs"
NO_WEIGHTS = dict.fromkeys(cmi.INFO.terms, 0.0)
TINY = {
  "hyper": {"temperature": 20.0, "alpha": 1.0},
  "num_rounds": 2,
  "batch_size": 8,
  "num_steps": 1,
  "generator": "upsampling",
  "latents": 16,
  "width": 2,
  "step_size": 1e-3,
  "head_step_size": 1e-3,
  "weights": {
    "classification": 1.0,
    "batch_norm": 1.0,
    "adversarial": 0.5,
    "contrast": 0.8,
  },
  "features": "batch_norms",
  "temperature": 0.1,
  "bank_size": 12,
  "num_negatives": 6,
  "global_views": (),
  "local_views": ("flip",),
  "student": "soft",
  "student_steps": 3,
  "student_batch_size": 4,
}
NETS = Networks(normed(1, SPEC), normed(2, SPEC))


def build(**changes):
  return build_method("cmi", SPEC, **{**TINY, **changes})


@pytest.fixture(autouse=True)
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    cmi, "create_generator", lambda *a, **k: dense_generator()
  )


def made(nets=NETS, **changes):
  """The state before the first batch, and what it led to."""
  method = build(**changes)
  state = method.init(KEY, nets)
  return state, *jax.jit(method.phases[0].ask)(state, nets, KEY)


def test_the_terms_of_a_batch():
  """One step: the terms are those of the images that are kept."""
  _, _, samples, terms = made()
  outputs, norms = batch_statistics.capture_batch_norms(
    NETS.teacher, samples.images
  )
  logits = NETS.student(samples.images).logits
  log_p, log_q = jax.nn.log_softmax(outputs.logits), jax.nn.log_softmax(logits)
  gaps = (np.exp(log_p) * (log_p - log_q)).sum(-1)
  agree = logits.argmax(-1) == outputs.logits.argmax(-1)
  assert 0 < agree.sum() < 8
  distance = 0.0
  for inputs, mean, variance in zip(*norms, strict=True):
    distance += np.linalg.norm(inputs.mean(0) - mean)
    distance += np.linalg.norm(inputs.var(0) - variance)
  rows = np.arange(8)
  expected = {
    "classification": -np.mean(log_p[rows, samples.labels]),
    "batch_norm": distance,
    "adversarial": -np.where(agree, gaps, 0).mean(),
  }
  assert terms.keys() == {*expected, "contrast"}
  for name, value in expected.items():
    assert terms[name] == pytest.approx(float(value), rel=1e-4), name


def echo(factor):
  """A student whose logits are the teacher's times a factor."""
  teacher = NETS.teacher

  def logits(variables, images):
    return factor * teacher.apply(variables, images)[0].logits

  return NETS._replace(
    student=models.from_function(logits, teacher.variables, name="echo")
  )


@pytest.mark.parametrize(("factor", "silent"), [(-1.0, True), (0.1, False)])
def test_where_the_students_class_differs_it_is_no_adversary(factor, silent):
  terms = made(echo(factor))[-1]
  assert (terms["adversarial"] == 0) == silent


@pytest.mark.parametrize(
  "name",
  [
    name if name == "contrast" else pytest.param(name, marks=pytest.mark.slow)
    for name in cmi.INFO.terms
  ],
)
def test_each_term_is_lowered_by_images_of_its_own(name):
  """The terms of the first step are the same, whatever the weights."""
  *_, few = made(echo(0.1), local_views=())
  weights = {**NO_WEIGHTS, name: 1.0}
  *_, many = made(
    echo(0.1), num_steps=20, step_size=0.01, weights=weights, local_views=()
  )
  assert many[name] < few[name] - 1e-3


def test_the_best_images_and_their_features_are_kept():
  """With steps that are far too long, those before the first one."""
  _, state, first, _ = made(local_views=())
  _, later, best, _ = made(local_views=(), num_steps=5, step_size=1e3)
  np.testing.assert_allclose(best.images, first.images, atol=1e-6)
  np.testing.assert_allclose(
    later["bank"].pairs, state["bank"].pairs, atol=1e-5
  )
  inputs = batch_statistics.capture_batch_norms(NETS.teacher, first.images)[
    1
  ].inputs
  features = np.concatenate(inputs, axis=1)
  np.testing.assert_allclose(
    state["bank"].pairs[:8, 1], features, rtol=1e-4, atol=1e-5
  )
  assert int(state["bank"].inserted) == 8


def test_what_lives_on_and_what_starts_afresh():
  """The second batch sees the first one's bank and head, and no generator."""
  method = build(num_steps=2)
  start = method.init(KEY, NETS)
  ask = jax.jit(method.phases[0].ask)
  after, one, _ = ask(start, NETS, KEY)
  _, again, _ = ask(start, NETS, KEY)
  np.testing.assert_array_equal(one.images, again.images)
  last, *_ = ask(after, NETS, jax.random.key(9))
  steps = optax.tree.get(last["head_optimizer"], "count")
  assert int(steps) == 4
  assert int(last["bank"].inserted) == 16
  assert not jnp.array_equal(
    jax.tree.leaves(start["head"])[1], jax.tree.leaves(last["head"])[1]
  )
  # Without contrast nothing of the first batch is left in the second.
  method = build(num_steps=2, weights={**TINY["weights"], "contrast": 0.0})
  ask = jax.jit(method.phases[0].ask)
  one, other = (
    ask(state, NETS, jax.random.key(9))[1] for state in (start, after)
  )
  np.testing.assert_allclose(one.images, other.images, atol=1e-6)


def test_without_steps_the_images_are_those_of_a_random_generator():
  _, state, samples, _ = made(num_steps=0)
  _, _, first, _ = made()
  np.testing.assert_allclose(samples.images, first.images, atol=1e-6)
  assert int(state["bank"].inserted) == 8


def test_latents_are_trained_too():
  """Their slope alone moves the images of a generator that stays."""
  generator = dense_generator()
  frozen = generator.replace(
    apply=lambda variables, latents, **mode: generator.apply(
      jax.lax.stop_gradient(variables), latents, **mode
    )
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(cmi, "create_generator", lambda *a, **k: frozen)
    few, many = (made(num_steps=steps, step_size=0.01)[-1] for steps in (1, 10))
  assert many["classification"] < few["classification"] - 1e-3


def test_a_student_of_hard_labels_learns_the_class_alone():
  method = build(student="hard", hyper={})
  logits = jnp.array([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
  answers = jnp.array([[0.1, 0.3, 0.2], [4.0, -4.0, 0.0]])
  losses = [
    method.objective(
      {},
      Outputs(logits),
      Samples(None, None, jax.nn.log_softmax(scale * answers)),
      LossContext(jnp.int32(0), jnp.zeros(3)),
    )
    for scale in (1.0, 7.0)
  ]
  expected = -jax.nn.log_softmax(logits)[jnp.arange(2), jnp.array([1, 0])]
  np.testing.assert_array_equal(*losses)
  np.testing.assert_allclose(losses[0], expected, rtol=1e-6)


def test_a_teacher_without_features():
  nets = NETS._replace(teacher=network(1))
  with pytest.raises(JaxkdError, match="'classifier' shows none.*=taps"):
    build().init(KEY, nets)
  without = {
    "features": "taps",
    "weights": {**TINY["weights"], "batch_norm": 0.0},
  }
  with pytest.raises(
    JaxkdError, match="'classifier' returns none.*=batch_norms"
  ):
    build(**without).init(KEY, nets)
  state, _, _, terms = made(**without)
  assert state["bank"].pairs.shape == (12, 2, 8)  # its one tap
  assert terms.keys() == {"classification", "adversarial", "contrast"}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"features": "tabs"}, "Did you mean taps"),
    ({"student": "firm"}, "soft, hard"),
    ({"student": "hard"}, "hyper has alpha, temperature"),
    ({"weights": {"classification": 1.0}}, "weights.batch_norm is missing"),
    ({"num_negatives": 13}, "only 12 in the bank"),
    ({"bank_size": 7}, "only 7 places"),
    ({"student_steps": 0}, "student_steps=0"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


@pytest.mark.slow
def test_a_whole_run_resumes_bit_for_bit(tmp_path, stopped_at):
  """And leaves the teacher as it is."""
  config = jaxkd.load_config(f"{CONFIGS}/cmi.py:smoke")
  config.student.model = "mlp"
  config.update_from_flattened_dict(
    {
      "synthesis.batch_size": 8,
      "synthesis.student_batch_size": 4,
      "synthesis.local_views": ("flip",),
    }
  )
  dataset = jaxkd.Dataset.without_images(SPEC)
  before = jax.tree.map(np.array, NETS.teacher.variables)

  def run(folder):
    return jaxkd.distill(NETS.teacher, config, folder, dataset=dataset)

  whole, report = run(tmp_path / "whole")
  assert report["synthesis"]["images"] == 16
  with stopped_at(1):
    run(tmp_path / "parts")
  student, _ = run(tmp_path / "parts")
  same(student, whole)
  jax.tree.map(np.testing.assert_array_equal, NETS.teacher.variables, before)


def test_the_published_numbers_are_the_cards():
  def load(argument):
    return jaxkd.load_config(f"{CONFIGS}/cmi.py:{argument}")

  config = load("dataset=cifar10")
  fields = config.synthesis
  assert (fields.num_rounds, fields.batch_size, fields.num_steps) == (
    200,
    256,
    200,
  )
  assert (fields.student_steps, fields.student_batch_size) == (400, 128)
  assert (fields.bank_size, fields.num_negatives) == (40960, 4096)
  assert fields.step_size == 1e-3 and fields.temperature == 0.1
  assert fields.weights.to_dict() == {
    "classification": 1.0,
    "batch_norm": 1.0,
    "adversarial": 0.5,
    "contrast": 0.8,
  }
  assert config.hyper.temperature == 20
  assert fields.features == "taps"
  assert load("dataset=cifar10,teacher=vgg11").synthesis.features == (
    "batch_norms"
  )
  assert load("hard").synthesis.student == "hard"
