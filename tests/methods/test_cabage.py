"""CaBaGE asks about the images that its clones select, and replays difficult
samples; all of its generators are improved.
"""

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
from toy_task import KEY, SPEC, black_box, linear, network, run_rounds, start

from jaxkd.data import to_float
from jaxkd.methods import cabage
from jaxkd.pipeline.costs import round_costs
from jaxkd.synthesis import clones
from jaxkd.types import JaxkdError, Networks

FIELDS = {
  "hyper": {},
  "budget": 240,
  "num_rounds": 0,
  "batch_size": 12,
  "generator": "dfme",
  "latents": 16,
  "width": 2,
  "generator_steps": 1,
  "replay_steps": 2,
  "clones": 2,
  "weights": {"disagreement": 1.0, "diversity": 0.2},
  "optimizer": {"name": "adam", "learning_rate": 0.01},
  "clone_optimizer": {"name": "sgd", "learning_rate": 0.1},
  "capacity": 1000,
  "generators": 3,
  "candidates": 6,
  "criterion": "margin",
}
NETS = Networks(None, network(2))


@pytest.fixture(autouse=True)
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    cabage, "create_generator", lambda *a, **k: dense_generator()
  )


def build(**changes):
  return build_method("cabage", SPEC, **{**FIELDS, **changes})


def asked(change=lambda state: state, **changes):
  """The state before the first batch and after it, and the clones' mean
  probabilities of its images.
  """
  method = build(**changes)
  before = change(start(method)[1].state)
  after, samples, _ = jax.jit(method.phases[0].ask)(before, NETS, KEY)
  probs = jnp.stack([
    jax.nn.softmax(linear({"params": weight}, samples.images)[0].logits)
    for weight in before.clones.variables["params"]
  ])  # fmt: skip
  return before, after, probs.mean(0)


def test_every_generator_makes_the_clones_disagree():
  """More than it did before its steps, on the same latents."""
  weights = {"disagreement": 1.0, "diversity": 0.0}
  before, after, _ = asked(generator_steps=100, weights=weights)
  latents = jax.random.normal(jax.random.key(7), (50, 16))
  generator = dense_generator()

  def disagreement(state, index):
    params = state.generators.variables["params"][index]
    images = generator.to_pixels(
      generator.apply({"params": params}, latents)[0]
    )
    logits = [
      linear({"params": weight}, images)[0].logits
      for weight in before.clones.variables["params"]
    ]
    return clones.disagreement_terms(jnp.stack(logits))["disagreement"]

  for index in range(3):
    assert disagreement(after, index) < disagreement(before, index) - 0.05


def test_the_least_certain_of_each_class_are_asked():
  """More candidates leave a smaller margin of the likeliest class."""

  def margin(probs):
    top = np.sort(probs, axis=1)
    return (top[:, -1] - top[:, -2]).mean()

  few, many = (asked(candidates=count)[2] for count in (1, 20))
  assert margin(many) < 0.7 * margin(few)
  classes = np.bincount(many.argmax(1), minlength=3)
  assert classes.max() - classes.min() <= 2


def test_a_class_that_was_given_seldom_is_asked_more():
  seldom = jnp.array([100, 0, 100])
  probs = asked(lambda state: state.replace(counts=seldom), candidates=20)[2]
  assert np.mean(probs.argmax(1) == 1) > 0.7


def test_difficult_samples_are_drawn_more_often_and_measured_again():
  method = build(budget=120)
  run, _ = run_rounds(method, 10, black_box("label", eight_bit=True))
  state, store = run.state, run.store
  assert state.difficulty.shape == (120,)
  assert (state.difficulty > 0).all()
  np.testing.assert_array_equal(
    state.counts, np.bincount(store.samples.targets, minlength=3)
  )
  hard = state.replace(difficulty=state.difficulty.at[17].set(1e3))
  nets = NETS._replace(store=store)
  drawn, samples, _ = method.phases[1].ask(hard, nets, KEY)
  assert np.mean(drawn.places == 17) > 0.5
  after, *_ = method.phases[1].tell(drawn, nets, samples, KEY)
  losses = [
    clones.distance(
      linear({"params": weight}, to_float(samples.images))[0].logits,
      samples.targets,
    )
    for weight in after.clones.variables["params"]
  ]
  place = int(np.argmax(drawn.places == 17))
  expected = np.mean(losses, axis=0)[place] + cabage.LEAST_DIFFICULTY
  assert after.difficulty[17] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_places_follow_the_store_around_its_end():
  method = build(capacity=30, replay_steps=0)
  run, _ = run_rounds(method, 4, black_box("label", eight_bit=True))
  assert int(run.state.asked) == int(run.store.inserted) == 48
  classes = run.store.samples.targets
  logits = jnp.stack([
    linear({"params": weight}, to_float(run.store.samples.images))[0].logits
    for weight in run.state.clones.variables["params"]
  ])  # fmt: skip
  loss = np.mean([clones.distance(each, classes) for each in logits], axis=0)
  latest = np.arange(36, 48) % 30
  np.testing.assert_allclose(
    run.state.difficulty[latest],
    loss[latest] + cabage.LEAST_DIFFICULTY,
    rtol=1e-4,
  )


def test_a_round_costs_a_batch_and_replay_nothing():
  costs = round_costs(*start(build()))
  assert {(cost.queries, cost.stored) for cost in costs} == {(12, 12)}
  assert len(costs) == 20


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"generators": 0}, "generators=0"),
    ({"criterion": "none"}, "criterion 'none'"),
    ({"capacity": 11}, "only 11 places"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
