"""DFME asks what its rounds cost, and trains generator and student in turn on
the answers.
"""

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
from toy_task import KEY, SPEC, black_box, network, run_rounds, start

from jaxkd.methods import dfme
from jaxkd.pipeline import exchange
from jaxkd.synthesis import label_smoothing
from jaxkd.types import JaxkdError, LossContext, Networks, Outputs

CONTEXT = LossContext(jnp.int32(0), jnp.zeros(3, jnp.int32))
PUBLISHED = {
  "hyper": {"label_floor": 0.01},
  "budget": 20_000_000,
  "num_rounds": 0,
  "batch_size": 256,
  "latents": 256,
  "width": 2,
  "num_directions": 1,
  "radius": 1e-3,
  "generator_steps": 1,
  "student_steps": 5,
  "optimizer": {
    "name": "adam", "learning_rate": 1e-4, "schedule": "multistep",
    "weight_decay": 0.0, "factor": 0.3, "milestones": (0.1, 0.3, 0.5),
    "clip_norm": 0.0,
  },
  "capacity": 4096,
}  # fmt: skip
TINY = {"batch_size": 8, "latents": 4, "num_rounds": 3, "capacity": 64}


def build(**changes):
  return build_method("dfme", SPEC, **{**PUBLISHED, **changes})


@pytest.fixture
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    dfme, "create_generator", lambda *args, **fields: dense_generator()
  )


def num_queries(phase, state, nets):
  """Images that one repeat of a phase asks about; computes nothing."""
  samples = jax.eval_shape(lambda: phase.ask(state, nets, KEY)[1])
  return samples.images.shape[0]


def cost(method):
  nets = Networks(None, network(2))
  state = method.init(KEY, nets)
  return sum(
    phase.repeats * num_queries(phase, state, nets) for phase in method.phases
  )


@pytest.mark.parametrize(
  "changes, expected",
  [
    ({}, 1792),
    ({"num_directions": 10}, 256 * (11 + 5)),
    ({"generator_steps": 2, "student_steps": 3}, 256 * (2 * 2 + 3)),
  ],
)
def test_a_round_asks_what_it_says(changes, expected):
  assert cost(build(**changes)) == expected
  assert build(**changes, budget=3 * expected).rounds == 3
  assert build(**changes, budget=3 * expected - 1).rounds == 2


def test_a_budget_that_does_not_pay():
  with pytest.raises(JaxkdError, match=r"budget=1791 .*1792 queries"):
    build(budget=1791)
  assert build(budget=2 * 1792, num_rounds=3).rounds == 3  # ends after two
  assert build(budget=0, num_rounds=3).rounds == 3  # a teacher of our own


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"radius": 0.0}, "radius=0.0"),
    ({"capacity": 255}, "only 255 places in the store"),
    ({"hyper": {"label_floor": 0.0}}, "label_floor=0.0"),
    ({"hyper": {"temperature": 1.0}}, "hyper 'temperature'.*label_floor"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_logits_are_recovered_from_probabilities():
  logits = 3 * jax.random.normal(KEY, (5, 3))
  student = jax.random.normal(jax.random.key(1), (5, 3))
  centred = logits - logits.mean(-1, keepdims=True)
  expected = np.abs(np.asarray(student - centred)).mean(-1)
  for answers in (logits, jax.nn.log_softmax(logits)):
    distance = dfme.distance(student, answers, 0.5)
    np.testing.assert_allclose(distance, expected, rtol=1e-5)


def test_labels_are_smoothed_one_hot_answers():
  logits = label_smoothing.as_logits(jnp.array([1, 2]), 3, 0.3)
  np.testing.assert_allclose(
    jnp.exp(logits), [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], rtol=1e-5
  )


def test_the_generator_phase_leaves_the_student_as_it_is(dense):
  round_spec, run, inputs = start(build(**TINY))
  after, terms = jax.jit(
    lambda run: exchange.run_phase(round_spec, 0, run, inputs, KEY)
  )(run)
  jax.tree.map(np.testing.assert_array_equal, run.student, after.student)
  assert int(after.store.inserted) == 0
  assert float(terms["disagreement"]) > 0
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()),
    run.state.variables["params"],
    after.state.variables["params"],
  )
  assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_rounds_with_the_published_generator():
  run, (terms,) = run_rounds(build(**TINY), 1, black_box("label"))
  assert all(np.isfinite(term).all() for term in terms.values())
  images = run.store.samples.images[:32]
  assert float(images.min()) >= 0 and float(images.max()) <= 1
  assert float(images.std(axis=0).min()) > 0


@pytest.mark.parametrize("access", ["probs", "label"])
def test_rounds_teach_the_student(access, dense):
  run, terms = run_rounds(build(**TINY), 40, black_box(access))
  losses = [of_round["student"] for of_round in terms]
  assert np.isfinite(losses).all()
  assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])
  assert int(run.student.step) == 40 * 5
  # All of the last images, with the teacher's answers to them.
  assert run.store.capacity == 64
  kept = run.store.samples
  np.testing.assert_allclose(
    kept.targets, black_box(access).answer(kept.images), atol=1e-5
  )


def test_milestones_are_fractions_of_the_generators_updates():
  optimizer = {
    **PUBLISHED["optimizer"], "name": "sgd", "momentum": 0.0,
    "learning_rate": 1.0,
  }  # fmt: skip
  tx = build(budget=20 * 1792, optimizer=optimizer).phases[0].ask.__self__.tx
  state, steps = tx.init(jnp.float32(0)), []
  for _ in range(20):
    update, state = tx.update(jnp.float32(-1), state, jnp.float32(0))
    steps.append(float(update))
  expected = [1.0] * 2 + [0.3] * 4 + [0.09] * 4 + [0.027] * 10
  np.testing.assert_allclose(steps, expected, rtol=1e-5)


def test_the_student_is_taught_what_the_generator_raises():
  answers = jax.random.normal(KEY, (5, 3))
  logits = jax.random.normal(jax.random.key(1), (5, 3))
  samples = exchange.Samples(None, jnp.full(5, -1), answers)
  loss = dfme.student_loss(
    PUBLISHED["hyper"], Outputs(logits), samples, CONTEXT
  )
  np.testing.assert_allclose(loss, dfme.distance(logits, answers, 0.01))
