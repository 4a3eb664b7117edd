"""DaST's two losses are those by hand; generator and student learn from each
other; a round costs a batch.
"""

import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
import toy_task
from toy_task import KEY, SPEC

from jaxkd import config as c
from jaxkd.methods import dast
from jaxkd.models.generators.registry import Generator
from jaxkd.pipeline import grid
from jaxkd.pipeline.costs import round_costs
from jaxkd.pipeline.method import check_access
from jaxkd.teachers.oracles import BlackBox
from jaxkd.types import (
  Classifier,
  JaxkdError,
  LossContext,
  Networks,
  Outputs,
  Samples,
)

CONTEXT = LossContext(jnp.int32(0), jnp.zeros(3, jnp.int32))
LABELS = jnp.array([0, 0, 1, 1, 2, 2])
FIELDS = {
  "hyper": {"beta": 0.0},
  "budget": 30,
  "num_rounds": 0,
  "batch_size": 6,
  "latents": 16,
  "width": 2,
  "alpha": 0.2,
  "step_size": 1e-3,
  "capacity": 12,
}


def linear(variables, images, *, train=False, rng=None):
  """In train mode with the statistics of the batch."""
  inputs = images.reshape(len(images), -1)
  if train:
    inputs = inputs - inputs.mean(axis=0)
  changed = {"batch_stats": inputs.mean(axis=0)} if train else {}
  return Outputs(inputs @ variables["params"]), changed


def network(seed):
  params = jax.random.normal(jax.random.key(seed), (16, 3))
  return Classifier({"params": params, "batch_stats": jnp.zeros(16)}, linear)


@pytest.fixture(autouse=True)
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""

  def init(key):
    return {"params": jax.random.normal(key, (16, 16)), "count": jnp.int32(0)}

  def apply(variables, latents, *, train=True):
    pre = (latents @ variables["params"]).reshape(-1, 4, 4, 1)
    return pre, {"count": variables["count"] + 1} if train else {}

  generator = Generator(16, init, apply, jax.nn.sigmoid)
  monkeypatch.setattr(dast, "create_generator", lambda *a, **k: generator)


def build(**changes):
  return build_method("dast", SPEC, **{**FIELDS, **changes})


def run_rounds(access="label", count=1, **changes):
  """The states before and after some rounds, and the terms of the last."""
  teacher = BlackBox(network(1), access, eight_bit=False)
  before = toy_task.start(build(**changes), teacher, network(2))[1]
  after, terms = toy_task.run_rounds(
    build(**changes), count, teacher, network(2)
  )
  return before, after, terms[-1]


def images_of(params, latents):
  return jax.nn.sigmoid(latents @ params)


def slopes_by_hand(params, latents, student, targets):
  """Disagreement and label loss with their slopes through the student."""

  def error(params, labels):
    images = images_of(params, latents)
    logits = (images - images.mean(axis=0)) @ student
    log_probs = jax.nn.log_softmax(logits)
    return -log_probs[jnp.arange(6), labels].mean()

  value_and_slope = jax.value_and_grad(error)
  return value_and_slope(params, targets), value_and_slope(params, LABELS)


def slope_seen(state):
  """The first gradient that Adam was given: its mean is half of it."""
  return 2 * state.opt_state[0].mu


def test_the_generator_learns_through_the_student_that_was_just_updated():
  before, after, terms = run_rounds()
  student = after.student.variables["params"]
  assert not np.allclose(student, before.student.variables["params"])
  (d, d_slope), (error, error_slope) = slopes_by_hand(
    before.state.variables["params"],
    after.state.latents,
    student,
    after.state.targets,
  )
  expected = -jnp.exp(-d) * d_slope + 0.2 * error_slope
  np.testing.assert_allclose(slope_seen(after.state), expected, atol=1e-6)
  np.testing.assert_allclose(terms["disagreement"], d, rtol=1e-5)
  np.testing.assert_allclose(terms["label"], error, rtol=1e-5)


def test_the_generator_raises_the_disagreement():
  before, after, _ = run_rounds(alpha=1e-9, step_size=1e-3)

  def disagreement(state):
    return slopes_by_hand(
      state.variables["params"],
      after.state.latents,
      after.student.variables["params"],
      after.state.targets,
    )[0][0]

  assert disagreement(after.state) > disagreement(before.state)


def test_an_answer_of_another_image_is_left_out_of_the_generators_loss():
  method = build()
  nets = Networks(None, network(2))
  state, samples, _ = method.phases[0].ask(method.init(KEY, nets), nets, KEY)
  answered = samples._replace(targets=jnp.array([0, 1, 2, 0, 1, 2]))
  # The third image has become a copy of the first, as
  # `host_exchange.leave_out_wrong` does.
  copied = jax.tree.map(lambda x: x[jnp.array([0, 1, 0, 3, 4, 5])], answered)
  state, kept, _ = method.phases[0].tell(state, nets, copied, KEY)
  assert not kept.extras
  _, _, terms = method.phases[1].ask(state, nets, KEY)
  pre, _ = dast.create_generator("dast", SPEC).apply(
    state.variables, state.latents, train=True
  )
  logits = nets.student.apply(
    nets.student.variables, jax.nn.sigmoid(pre), train=True
  )[0].logits
  log_probs = np.asarray(jax.nn.log_softmax(logits))
  own = [row for row in range(6) if row != 2]
  expected = -log_probs[own, np.asarray(answered.targets)[own]].mean()
  np.testing.assert_allclose(terms["disagreement"], expected, rtol=1e-5)


def test_the_student_is_asked_about_the_batch_that_it_learnt():
  before, after, _ = run_rounds()
  images = images_of(before.state.variables["params"], after.state.latents)
  kept = after.store.samples
  np.testing.assert_allclose(kept.images[:6].reshape(6, -1), images, atol=1e-6)
  np.testing.assert_array_equal(kept.labels[:6], LABELS)
  teacher = network(1)(images.reshape(6, 4, 4, 1)).logits.argmax(-1)
  np.testing.assert_array_equal(kept.targets[:6], teacher)
  np.testing.assert_array_equal(after.state.targets, teacher)


def test_a_round_costs_a_batch_and_updates_each_network_once():
  _, after, _ = run_rounds(count=2)
  teacher = BlackBox(network(1), "label", eight_bit=False)
  costs = round_costs(*toy_task.start(build(), teacher, network(2)))
  assert [cost.queries for cost in costs] == [6] * 5
  assert int(after.student.step) == 2
  assert int(after.state.opt_state[0].count) == 2
  assert int(after.state.variables["count"]) == 2  # one batch, one statistic
  assert int(after.store.inserted) == 12
  assert build().capacity == 12


def fit(weights, alpha):
  """The generator's phase alone, with a student of given weights."""
  method = build(alpha=alpha, hyper={"beta": 0.0})
  nets = Networks(None, Classifier({"params": weights}, linear))
  state = method.init(KEY, nets)
  latents = jax.random.normal(KEY, state.latents.shape)
  state = state.replace(latents=latents)
  return method.phases[1].ask(state, nets, KEY)


def test_alpha_becomes_a_low_label_loss_and_stays_otherwise():
  _, _, terms = fit(jnp.zeros((16, 3)), alpha=0.2)
  assert terms["label"] == pytest.approx(np.log(3), rel=1e-5)
  state, _, _ = fit(jnp.zeros((16, 3)), alpha=0.2)
  assert state.alpha == pytest.approx(0.2)
  # A student that tells the six images apart as they were meant.
  probe, _, _ = fit(jnp.zeros((16, 3)), alpha=0.2)
  latents = probe.latents
  images = images_of(build().init(KEY, None).variables["params"], latents)
  centred = images - images.mean(axis=0)
  logits = 4.0 * jax.nn.one_hot(LABELS, 3) - 4 / 3
  state, _, terms = fit(jnp.linalg.pinv(centred) @ logits, alpha=0.2)
  assert 0 < terms["label"] < 0.1
  assert terms["alpha"] == pytest.approx(0.2)  # in force until after the step
  assert state.alpha == pytest.approx(float(terms["label"]))


def test_probabilities_add_their_mean_square():
  logits = jnp.array([[0.0, 0.0, 0.0]])
  probs = jnp.array([[0.5, 0.25, 0.25]])
  loss = dast.distance(logits, jnp.log(probs), 3.0)
  square = ((1 / 6) ** 2 + 2 * (1 / 12) ** 2) / 3
  np.testing.assert_allclose(loss, np.log(3) + 3.0 * square, rtol=1e-5)
  samples = Samples(None, None, jnp.array([0]))
  loss = dast.student_loss({"beta": 3.0}, Outputs(logits), samples, CONTEXT)
  np.testing.assert_allclose(loss, np.log(3), rtol=1e-5)


def test_without_beta_labels_are_all_that_is_kept():
  _, label, _ = run_rounds("label")
  _, probs, _ = run_rounds("probs")
  jax.tree.map(np.testing.assert_array_equal, label.state, probs.state)
  assert probs.store.samples.targets.dtype == jnp.int32


def test_with_beta_probabilities_are_needed():
  _, after, _ = run_rounds("probs", hyper={"beta": 0.1})
  assert after.state.targets.shape == (6, 3)
  with pytest.raises(JaxkdError, match="needs probs .* gives label"):
    check_access(build(hyper={"beta": 0.1}), "label", False)


def test_a_grid_over_beta_needs_probabilities():
  assert build(hyper={"beta": 0.1}).hyper == {"beta": 0.1}
  with pytest.raises(JaxkdError, match="grid.beta: .* weight of 0"):
    grid.expand_grid(c.block(beta=(0.1, 1.0)), build(hyper={"beta": 0.0}))


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"batch_size": 7}, "batch_size=7 is not a multiple of classes=3"),
    ({"budget": 5}, "queries.budget=5"),
    ({"hyper": {"beta": -1.0}}, "hyper.beta=-1.0"),
    ({"hyper": {}}, "hyper.beta is missing"),
    ({"capacity": 5}, "batch_size=6: there are only 5"),
    ({"alpha": 0.0}, "alpha=0.0"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
