"""DisGUIDE's generator makes the clones disagree about many classes, and the
clones learn the teacher's answers, each paid for once.
"""

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
from toy_task import KEY, SPEC, black_box, linear, network, run_rounds, start

from jaxkd.methods import disguide
from jaxkd.pipeline.costs import round_costs
from jaxkd.synthesis import clones
from jaxkd.types import JaxkdError, Networks

FIELDS = {
  "hyper": {},
  "budget": 320,
  "num_rounds": 0,
  "batch_size": 16,
  "generator": "dfme",
  "latents": 16,
  "width": 2,
  "generator_steps": 1,
  "replay_steps": 3,
  "clones": 2,
  "weights": {"disagreement": 1.0, "diversity": 0.2},
  "optimizer": {"name": "adam", "learning_rate": 0.01},
  "clone_optimizer": {"name": "sgd", "learning_rate": 0.1},
  "capacity": 1000,
}
NETS = Networks(None, network(2))


GENERATOR = dense_generator()
# Its images are bright, hence of few classes.
BRIGHT = GENERATOR.replace(to_pixels=lambda pre: jax.nn.sigmoid(pre / 4 + 1))


@pytest.fixture(autouse=True)
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  replace_generator(monkeypatch, GENERATOR)


def replace_generator(monkeypatch, generator):
  monkeypatch.setattr(disguide, "create_generator", lambda *a, **k: generator)


def build(**changes):
  return build_method("disguide", SPEC, **{**FIELDS, **changes})


def test_the_terms_of_the_generator():
  logits = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  mean = probs.mean((0, 1))
  terms = clones.disagreement_terms(jnp.asarray(logits))
  expected = {
    "disagreement": -probs.std(0, ddof=1).mean(),
    "diversity": (mean * np.log(mean)).sum(),
  }
  assert terms.keys() == expected.keys()
  for name, value in expected.items():
    assert terms[name] == pytest.approx(value, rel=1e-5), name


def test_clones_that_agree_have_a_finite_gradient():
  def disagreement(logits):
    return clones.disagreement_terms(logits)["disagreement"]

  slopes = jax.grad(disagreement)(jnp.zeros((2, 5, 3)))
  np.testing.assert_array_equal(slopes, 0.0)


@pytest.mark.parametrize(
  ("term", "generator"), [("disagreement", GENERATOR), ("diversity", BRIGHT)]
)
def test_the_generator_lowers_each_term(term, generator, monkeypatch):
  """More disagreement, and more classes; the clones stay as they are."""
  replace_generator(monkeypatch, generator)
  weights = {**dict.fromkeys(disguide.INFO.terms, 0.0), term: 1.0}
  after = {}
  for steps in (1, 100):
    method = build(generator_steps=steps, weights=weights)
    before = start(method)[1].state
    state, samples, _ = jax.jit(method.phases[0].ask)(before, NETS, KEY)
    jax.tree.map(np.testing.assert_array_equal, state.clones, before.clones)
    logits = [
      linear({"params": weight}, samples.images)[0].logits
      for weight in state.clones.variables["params"]
    ]
    after[steps] = clones.disagreement_terms(jnp.stack(logits))[term]
  assert after[100] < after[1] - 0.05


def test_soft_labels_are_compared_as_recovered_logits():
  answers = jax.nn.log_softmax(jnp.array([[4.0, 0.0, 2.0]]))
  distance = clones.distance(jnp.array([[1.0, 0.0, -1.0]]), answers)
  np.testing.assert_allclose(distance, (1 + 2 + 1) / 3, rtol=1e-5)


@pytest.mark.parametrize(
  "access", ["label", pytest.param("probs", marks=pytest.mark.slow)]
)
def test_both_clones_learn_the_answers(access):
  """The first of them is the student so far."""
  method = build()
  run, terms = run_rounds(method, 20, black_box(access))
  assert terms[-1]["clones"] < 0.6 * terms[0]["clones"]
  assert (run.state.clones.step == 20 * (1 + 3)).all()
  images = jax.random.uniform(jax.random.key(5), (500, *SPEC.shape))
  classes = linear(network(1).variables, images)[0].logits.argmax(-1)
  weights = run.state.clones.variables["params"]
  assert not np.allclose(*weights)
  np.testing.assert_array_equal(
    method.round_student(run.state)["params"], weights[0]
  )
  for weight in weights:
    logits = linear({"params": weight}, images)[0].logits
    assert np.mean(logits.argmax(-1) == classes) > 0.8


def test_a_round_costs_a_batch_and_replay_nothing():
  method = build()
  assert method.rounds == 20
  costs = round_costs(*start(method))
  assert {(cost.queries, cost.stored) for cost in costs} == {(16, 16)}
  assert len(build(replay_steps=0).phases) == 1


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"clones": 1}, "clones=1"),
    ({"capacity": 15}, "only 15 places"),
    ({"budget": 15}, "queries.budget=15"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
