"""MAZE asks what its rounds cost, trains on the generator's batch again, and
replays stored images.
"""

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
from toy_task import KEY, SPEC, black_box, network, run_rounds, start

from jaxkd.methods import maze
from jaxkd.pipeline import exchange
from jaxkd.training import sample_store as stores
from jaxkd.types import JaxkdError, Networks, Outputs, Samples

PUBLISHED = {
  "hyper": {"label_floor": 0.01},
  "budget": 5_000_000,
  "num_rounds": 0,
  "batch_size": 128,
  "latents": 100,
  "width": 2,
  "num_directions": 10,
  "radius": 1e-3,
  "student_steps": 5,
  "replay_steps": 10,
  "optimizer": {
    "name": "sgd", "learning_rate": 1e-4, "schedule": "cosine",
    "momentum": 0.9, "weight_decay": 5e-4, "milestones": (), "clip_norm": 0.0,
  },
  "capacity": 4096,
}  # fmt: skip
TINY = {"batch_size": 8, "latents": 4, "num_rounds": 3, "capacity": 64}


def build(**changes):
  return build_method("maze", SPEC, **{**PUBLISHED, **changes})


@pytest.fixture
def dense(monkeypatch):
  """A generator that compiles at once, in place of the published one."""
  monkeypatch.setattr(
    maze, "create_generator", lambda *args, **fields: dense_generator()
  )


def store_of(count, capacity):
  """A store whose image i is full of i and has the answers (i, 0, 0)."""
  numbers = jnp.arange(count, dtype=jnp.float32)
  images = jnp.ones((count, 4, 4, 1)) * numbers[:, None, None, None]
  targets = jnp.zeros((count, 3)).at[:, 0].set(numbers)
  samples = Samples(images, jnp.full(count, -1, jnp.int32), targets)
  return stores.insert(stores.init(capacity, samples), samples)


def cost(method):
  nets = Networks(None, network(2), store_of(4, 4))
  state = method.init(KEY, nets)
  total = 0
  for phase in method.phases:
    samples = jax.eval_shape(lambda ask=phase.ask: ask(state, nets, KEY)[1])
    total += phase.queries * phase.repeats * samples.images.shape[0]
  return total


@pytest.mark.parametrize(
  "changes, expected",
  [
    ({}, 1920),
    ({"num_directions": 1, "student_steps": 3}, 128 * (2 + 2)),
    ({"replay_steps": 50}, 1920),
  ],
)
def test_a_round_asks_what_it_says(changes, expected):
  assert cost(build(**changes)) == expected
  assert build(**changes, budget=3 * expected).rounds == 3
  assert build(**changes, budget=3 * expected - 1).rounds == 2


def test_a_budget_that_does_not_pay():
  with pytest.raises(JaxkdError, match=r"budget=1919 .*1920 queries"):
    build(budget=1919)


def test_replay_needs_a_fresh_batch():
  with pytest.raises(JaxkdError, match="student_steps=1"):
    build(student_steps=1)


def test_no_distance_and_no_slope_where_the_student_is_the_teacher():
  logits = 3 * jax.random.normal(KEY, (5, 3))

  def objective(logits, targets):
    samples = Samples(None, jnp.full(5, -1), targets)
    return maze.student_loss(PUBLISHED["hyper"], Outputs(logits), samples, None)

  same = jax.nn.log_softmax(logits)
  np.testing.assert_allclose(objective(logits, same), np.zeros(5), atol=1e-6)
  slope = jax.grad(lambda x: objective(x, same).sum())(logits)
  np.testing.assert_allclose(slope, np.zeros((5, 3)), atol=1e-5)
  assert float(objective(logits[::-1], same).max()) > 0.1


def test_the_distance_is_the_divergence_from_the_teacher():
  p, q = np.array([[0.7, 0.2, 0.1]]), np.array([[0.2, 0.3, 0.5]])
  distance = maze.distance(jnp.log(q), jnp.log(p), 0.5)
  np.testing.assert_allclose(distance, (p * np.log(p / q)).sum(-1), rtol=1e-5)


def test_replay_draws_stored_images_with_their_answers():
  replay = build(**TINY, replay_steps=4).phases[2]
  assert not replay.queries and not replay.store
  nets = Networks(None, network(2), store_of(5, 20))  # 15 places are empty
  batches = [
    replay.ask(None, nets, jax.random.fold_in(KEY, index))[1]
    for index in range(20)
  ]
  images = np.concatenate([samples.images for samples in batches])
  targets = np.concatenate([samples.targets for samples in batches])
  assert images.shape == (160, 4, 4, 1)
  np.testing.assert_array_equal(images[:, 0, 0, 0], targets[:, 0])
  assert set(targets[:, 0]) == {0, 1, 2, 3, 4}


def test_the_first_update_reuses_the_generators_batch(dense):
  method = build(**TINY)
  first = method.phases[0]
  assert (first.student_steps, first.store, first.queries) == (1, False, True)
  nets = Networks(None, network(2))
  state, samples, _ = first.ask(method.init(KEY, nets), nets, KEY)
  samples = samples._replace(targets=network(1)(samples.images).logits)
  _, batch, _ = first.tell(state, nets, samples, KEY)
  np.testing.assert_array_equal(batch.images, samples.images[:8])
  np.testing.assert_array_equal(batch.targets, samples.targets[:8])


def test_rounds_teach_the_student_from_labels(dense):
  images = jax.random.uniform(jax.random.key(9), (500, 4, 4, 1))
  labels = network(1)(images).logits.argmax(-1)

  def agreement(variables):
    student = network(2).replace(variables=variables)
    return float((student(images).logits.argmax(-1) == labels).mean())

  run, terms = run_rounds(build(**TINY), 10, black_box("label"))
  assert all(np.isfinite(term).all() for term in terms[-1].values())
  assert int(run.student.step) == 10 * (5 + 10)
  assert int(run.store.inserted) == 10 * 4 * 8
  before = agreement(network(2).variables)
  assert agreement(run.student.variables) > before + 0.1


def test_replay_does_not_ask_the_teacher(dense):
  round_spec, run, inputs = start(build(**TINY))
  inputs = inputs.replace(teacher=None)
  run = run.replace(store=store_of(64, 64))
  after, _ = jax.jit(
    lambda run: exchange.run_phase(round_spec, 2, run, inputs, KEY)
  )(run)
  assert int(after.student.step) == 10
  assert int(after.store.inserted) == 64
