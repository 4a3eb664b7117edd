"""DeepInversion's terms are those by hand, and images lower each of them."""

from pathlib import Path

from batch_norm_network import normed
import jax
from method_builder import build_method
from network_weights import same
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, network, run_rounds, start

import jaxkd
from jaxkd.methods import deepinversion
from jaxkd.pipeline.costs import round_costs
from jaxkd.synthesis import batch_statistics, priors
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import JaxkdError, Networks

CONFIGS = Path(__file__).parents[2] / "configs"
NO_WEIGHTS = dict.fromkeys(deepinversion.INFO.terms, 0.0)
TINY = {
  "num_rounds": 2,
  "batch_size": 8,
  "num_steps": 1,
  "step_size": 1e-6,
  "betas": (0.9, 0.999),
  "jitter": 0,
  "mirror": False,
  "clip": False,
  "variation": "frobenius",
  "competition": "clipped",
  "weights": {**NO_WEIGHTS, "classification": 1.0, "batch_norm": 10.0},
  "student_steps": 3,
  "student_batch_size": 4,
  "views": (),
}
HYPER = {"temperature": 20.0, "alpha": 1.0}
NETS = Networks(normed(1, SPEC), normed(2, SPEC))


def build(**changes):
  return build_method("deepinversion", SPEC, hyper=HYPER, **{**TINY, **changes})


def only(**weights):
  return {"weights": {**NO_WEIGHTS, **weights}}


def made(nets=NETS, key=KEY, **changes):
  """Samples and terms of one batch."""
  method = build(**changes)
  state = method.init(KEY, nets)
  ask = jax.jit(lambda nets, key: method.phases[0].ask(state, nets, key)[1:])
  return ask(nets, key)


def test_the_terms_of_a_batch():
  """One step of no length: the terms are those of the images."""
  samples, terms = made(**only(batch_norm=1.0, competition=1.0))
  x = np.asarray((samples.images - 0.5) / 0.5, np.float64)
  logits, norms = batch_statistics.capture_batch_norms(
    NETS.teacher, samples.images
  )
  distance = 0.0
  for inputs, mean, variance in zip(*norms, strict=True):
    distance += np.linalg.norm(inputs.mean(0) - mean)
    distance += np.linalg.norm(inputs.var(0) - variance)
  log_p = jax.nn.log_softmax(logits.logits)
  p = jax.nn.softmax(logits.logits / 3)
  q = jax.nn.softmax(NETS.student(samples.images).logits / 3)
  p, q, m = (np.clip(each, 0.01, 0.99) for each in (p, q, (p + q) / 2))
  gap = 0.5 * (m * np.log(m / p) + m * np.log(m / q)).sum(-1).mean()
  expected = {
    "classification": -np.mean(log_p[np.arange(8), samples.labels]),
    "batch_norm": distance,
    "total_variation": np.linalg.norm(x[:, :, 1:] - x[:, :, :-1])
    + np.linalg.norm(x[:, 1:] - x[:, :-1])
    + np.linalg.norm(x[:, 1:, 1:] - x[:, :-1, :-1])
    + np.linalg.norm(x[:, 1:, :-1] - x[:, :-1, 1:]),
    "norm": np.linalg.norm(x),
    "competition": 1 - gap,
  }
  assert terms.keys() == {*expected, "loss", "first_loss"}
  for name, value in expected.items():
    assert terms[name] == pytest.approx(float(value), rel=1e-4), name


@pytest.mark.parametrize(("kind", "value"), [("clipped", 1.0), ("plain", 0.0)])
def test_a_student_like_its_teacher_is_no_competition(kind, value):
  nets = NETS._replace(student=NETS.teacher)
  _, terms = made(nets, competition=kind, **only(competition=1.0))
  assert terms["competition"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(
      name, marks=() if name in ("batch_norm", "norm") else pytest.mark.slow
    )
    for name in deepinversion.INFO.terms
  ],
)
def test_each_term_is_lowered_by_images_of_its_own(name):
  """The terms of the first step are the same, whatever the weights."""
  _, few = made(weights=dict.fromkeys(deepinversion.INFO.terms, 1.0))
  _, many = made(num_steps=20, step_size=0.02, **only(**{name: 1.0}))
  assert many[name] < few[name] - 1e-3


def test_images_depend_on_the_key_alone_and_classes_come_in_turn():
  one, again, other = (
    made(key=jax.random.key(key), num_steps=3, jitter=1)[0] for key in (0, 0, 1)
  )
  np.testing.assert_array_equal(one.images, again.images)
  assert np.abs(one.images - other.images).max() > 0.1
  np.testing.assert_array_equal(one.labels, [0, 1, 2, 0, 1, 2, 0, 1])


def test_a_batch_smaller_than_the_classes_draws_different_ones():
  ask = build(batch_size=2).phases[0].ask
  labels = jax.jit(lambda key: ask((), NETS, key)[1].labels)
  drawn = [labels(key).tolist() for key in jax.random.split(KEY, 5)]
  assert all(len(set(batch)) == 2 for batch in drawn)
  assert len({label for batch in drawn for label in batch}) == 3


def test_steps_at_two_resolutions_with_a_course_of_the_step_size():
  """The first step of each has no length, so three of five move by 0.1."""
  images = made(
    num_steps=5, coarse_steps=2, step_size=0.1, warmup_steps=1,
    schedule="cosine", norm="images", first_batch_norm=10.0, jitter=1,
  )[0].images  # fmt: skip
  first = priors.normal(jax.random.split(KEY, 3)[0], 8, SPEC)
  moved = np.abs((images - 0.5) / 0.5 - first)
  assert 0.1 < moved.mean() < 0.3


def test_only_clipped_images_are_pixels():
  for clip in (False, True):
    images = made(clip=clip, num_steps=2, mirror=True)[0].images
    inside = images.min() >= -1e-6 and images.max() <= 1 + 1e-6
    assert inside == clip


def test_a_round_trains_the_student_and_leaves_the_teacher():
  """The student takes its steps, and the teacher stays bit for bit."""
  method = build(**only(batch_norm=1.0, competition=1.0))
  networks = WhiteBox(NETS.teacher), NETS.student
  before = jax.tree.map(np.array, NETS.teacher.variables)
  costs = round_costs(*start(method, *networks))
  assert [cost.updates for cost in costs] == [3, 3]
  run, (terms,) = run_rounds(method, 1, *networks, tx=optax.sgd(0.01))
  assert np.isfinite(list(terms.values())).all()
  assert int(run.student.step) == 3
  assert int(run.store.inserted) == 8
  jax.tree.map(np.testing.assert_array_equal, NETS.teacher.variables, before)
  np.testing.assert_allclose(
    run.store.samples.targets[:8],
    jax.nn.log_softmax(NETS.teacher(run.store.samples.images[:8]).logits),
    atol=1e-5,
  )


def test_without_student_steps_all_is_left_to_the_epochs():
  method = build(student_steps=0)
  assert [phase.student_steps for phase in method.phases] == [0]
  assert method.relabel_views


def test_a_teacher_without_batch_normalisations():
  nets = NETS._replace(teacher=network(1))
  with pytest.raises(JaxkdError, match="'classifier' shows none.*norm=0"):
    build().init(KEY, nets)
  _, terms = made(nets, **only(classification=1.0))
  assert "batch_norm" not in terms


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"variation": "frobenious"}, "Did you mean frobenius"),
    ({"competition": "fair"}, "clipped, plain"),
    ({"weights": {"classification": 1.0}}, "weights.batch_norm is missing"),
    ({"step_size": 0.0}, "step_size=0.0"),
    ({"jitter": -1}, "jitter=-1"),
    ({"num_steps": 9, "coarse_steps": 2, "warmup_steps": 2}, "are 2 steps at"),
    ({"student_steps": 0, **only(competition=1.0)}, "student_steps above 0"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_points_are_refused():
  spec = SPEC._replace(name="moons", shape=(2,))
  with pytest.raises(JaxkdError, match=r"moons has inputs of shape \(2,\)"):
    build_method("deepinversion", spec, hyper=HYPER, **TINY)


@pytest.mark.slow
def test_a_whole_run_resumes_bit_for_bit(tmp_path, stopped_at):
  config = jaxkd.load_config(f"{CONFIGS}/deepinversion.py:adi,smoke")
  config.student.model = "mlp"
  config.update_from_flattened_dict(
    {"synthesis.batch_size": 8, "synthesis.student_batch_size": 4}
  )
  dataset = jaxkd.Dataset.without_images(SPEC)

  def run(folder):
    return jaxkd.distill(NETS.teacher, config, folder, dataset=dataset)

  whole, report = run(tmp_path / "whole")
  assert report["synthesis"]["images"] == 16
  with stopped_at(1):
    run(tmp_path / "parts")
  student, _ = run(tmp_path / "parts")
  same(student, whole)


def test_the_published_numbers_are_the_cards():
  def synthesis(argument):
    return jaxkd.load_config(f"{CONFIGS}/deepinversion.py:{argument}").synthesis

  fields = synthesis("dataset=cifar10")
  assert (fields.batch_size, fields.num_steps, fields.step_size) == (
    256,
    2000,
    0.05,
  )
  assert fields.weights.batch_norm == 10 and not fields.weights.competition
  assert fields.weights.total_variation == 2.5e-5
  fields = synthesis("dataset=cifar10,adi")
  assert (fields.weights.competition, fields.student_steps) == (0.2, 50)
  fields = synthesis("dataset=cifar10,adi,datafree")
  assert (fields.num_steps, fields.step_size, fields.student_steps) == (
    1000,
    0.1,
    400,
  )
  assert fields.weights.competition == 1
  assert (fields.jitter, fields.mirror, fields.clip) == (4, True, True)
  fields = synthesis("dataset=none,image_size=224,adi")
  assert (fields.batch_size, fields.num_steps, fields.coarse_steps) == (
    84,
    3000,
    2000,
  )
  assert (fields.step_size, fields.betas, fields.jitter) == (
    0.25,
    (0.5, 0.9),
    30,
  )
  assert fields.weights.to_dict() == {
    "classification": 1.0,
    "batch_norm": 0.01,
    "total_variation": 1e-4,
    "norm": 1e-5,
    "competition": 0.2,
  }
