"""ZSDB3KD walks away from the boundary of a teacher that gives labels, and
makes soft labels of the distances to it.
"""

import functools

import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import optax
import pytest

from jaxkd.methods import zsdb3kd
from jaxkd.pipeline import exchange
from jaxkd.pipeline.costs import round_costs
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.method import check_access
from jaxkd.synthesis import boundary, class_distances
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import (
  Classifier,
  DataSpec,
  JaxkdError,
  LossContext,
  Networks,
  Outputs,
  Samples,
)

SPEC = DataSpec("toy", (2, 3, 1), 3, (0.0,), (1.0,))
KEY = jax.random.key(0)
HYPER = {"temperature": 20.0, "multiplier": 512.0}
TINY = {
  "hyper": HYPER,
  "budget": 10_000,
  "num_rounds": 1,
  "num_walks": 6,
  "noise": 10,
  "moves": 4,
  "longest_move": 0.2,
  "moves_per_sample": 2,
  "refinements": 2,
  "probes": 4,
  "directions": 8,
  "smoothing": 0.1,
  "tolerance": 0.02,
  "distances": "sd",
}
# As the released code has it: 20 first directions, 200 for a slope, 40 moves.
RELEASED = {
  **TINY, "num_rounds": 0, "num_walks": 0, "noise": 20, "moves": 40,
  "longest_move": 0.5, "moves_per_sample": 5, "probes": 20,
  "directions": 200, "refinements": 16, "smoothing": 1e-3, "tolerance": 1e-5,
  "distances": "mbd",
}  # fmt: skip
WEIGHTS = jax.random.normal(jax.random.key(4), (6, 3))


class Labels:
  """A black box with linear boundaries that counts the images."""

  access, in_process, eight_bit = "label", True, False

  def __init__(self, weights=WEIGHTS):
    self.weights, self.count = weights, 0

  def answer(self, images):
    self.count += len(images)
    return self.logits(images).argmax(-1).astype(jnp.int32)

  def logits(self, images):
    return (jnp.asarray(images).reshape(len(images), -1) - 0.5) @ self.weights


def linear(variables, images, *, train=False, rng=None):
  return Outputs(images.reshape(len(images), -1) @ variables["params"]), {}


def build(**changes):
  return build_method("zsdb3kd", SPEC, **{**TINY, **changes})


@functools.cache
def run_rounds(distances="sd", count=1, constant=False):
  """Rounds in which the host asks: the teacher, the state after them, their
  costs, and the terms of the last.
  """
  teacher = Labels(jnp.zeros((6, 3)) if constant else WEIGHTS)
  method = build(distances=distances, num_rounds=count)
  train_config = TrainConfig(linear, optax.sgd(0.1), method.objective)
  round_spec = exchange.RoundSpec(method, train_config, SPEC, "label")
  student = Classifier({"params": jnp.zeros((6, 3))}, linear)
  inputs = exchange.RoundInputs(None, student, method.hyper)
  run = exchange.init_state(
    round_spec, inputs, init_state(student, train_config.tx), KEY
  )
  costs = round_costs(round_spec, run, inputs)
  run_round = make_host_round(round_spec, teacher)
  for index in range(count):
    run, terms = run_round(run, inputs, jax.random.fold_in(KEY, index))
  return teacher, run, costs, terms


def distances_of(run):
  searches = run.state["searches"]
  return np.where(searches.crossed, searches.distance, np.inf).reshape(-1, 2)


def to_the_planes(images, labels):
  """From images `[N, ...]` to where the next two classes begin to win."""
  logits = np.asarray(Labels().logits(images))
  rows = np.arange(len(labels))
  others = np.asarray(class_distances.other_classes(jnp.asarray(labels), 3))
  gaps = logits[rows, labels][:, None] - logits[rows[:, None], others]
  normals = np.asarray(WEIGHTS)[:, labels][..., None] - WEIGHTS[:, others]
  return gaps / np.linalg.norm(normals, axis=0)


@pytest.mark.parametrize(
  "distances, rounds",
  [
    ("sd", 1),
    ("mbd", 1),
    pytest.param("bd", 1, marks=pytest.mark.slow),
    pytest.param("sd", 2, marks=pytest.mark.slow),
  ],
)
def test_rounds_ask_what_they_cost(distances, rounds):
  teacher, run, costs, _ = run_rounds(distances, rounds)
  bisected, refined = 9, 2 + 6  # steps, at a tolerance of 2 %
  walk = 10 + 4 * 4 * (bisected + 2 * refined + 1)
  search = {"sd": 0, "bd": bisected, "mbd": bisected + 2 * refined}[distances]
  total = 6 * (walk + 2 * 2 * 4 * search)
  assert sum(cost.queries for cost in costs) == teacher.count == total
  assert total <= TINY["budget"]
  assert int(run.store.inserted) == build(num_rounds=rounds).capacity == 12


def test_samples_have_the_label_that_the_teacher_gives_them():
  teacher, run, _, terms = run_rounds()
  kept = run.store.samples
  expected = teacher.logits(kept.images).argmax(-1)
  np.testing.assert_array_equal(kept.labels, expected)
  assert set(np.asarray(kept.labels)) == {0, 1, 2}
  assert terms["walks_found"] == 1.0
  np.testing.assert_allclose(jnp.exp(kept.targets).sum(-1), 1, rtol=1e-5)


def test_walks_leave_the_boundary():
  _, run, _, _ = run_rounds()
  images = run.state["samples"]
  labels = np.asarray(run.state["walks"].labels)
  first, last = (to_the_planes(each, labels).min(axis=1) for each in images)
  # One by one a walk may come nearer to the third class.
  assert last.mean() > first.mean() + 0.05


def test_distances_from_farther_to_nearer_estimates():
  runs = [run_rounds(kind)[1] for kind in ("sd", "bd", "mbd")]
  sd, bd, mbd = map(distances_of, runs)
  assert np.isfinite(sd).all()
  assert (sd > bd).all() and (bd >= mbd).all()
  assert mbd.mean() < 0.9 * bd.mean()
  images = runs[2].state["samples"].reshape(-1, *SPEC.shape)
  labels = np.tile(runs[2].state["walks"].labels, 2)
  exact = to_the_planes(images, labels)
  # The plane may be reached earlier than the class, which a third one hides.
  assert (mbd > 0.99 * exact).all()


def test_soft_labels_are_those_of_the_distances():
  _, run, _, _ = run_rounds("bd")
  kept, distances = run.store.samples, distances_of(run)
  probs = np.exp(kept.targets)
  for row, label in enumerate(np.asarray(kept.labels)):
    near, far = np.argsort(distances[row])
    others = [(label + 1) % 3, (label + 2) % 3]
    assert probs[row].argmax() == label
    assert probs[row, others[near]] >= probs[row, others[far]]


def test_soft_labels_by_hand():
  labels = jnp.array([1, 1, 2, 2])
  begun = boundary.untargeted_search(jnp.zeros((4, 2, 3, 1)), labels, 1)
  result = class_distances.soft_labels(
    begun.replace(
      target_classes=jnp.array([2, 0, 0, 1]),
      distance=jnp.array([0.5, 2.0, 1.0, 7.0]),
      crossed=jnp.array([True, True, True, False]),
    ),
    others=2,
  )
  # Class 1: d_2 = 0.5, d_0 = 2. Class 2: d_0 = 1, no way to class 1.
  tie = class_distances.TIE
  own = [2.5 + 2.5 * tie + tie, 1.0 + tie + tie]
  expected = jnp.array([[0.5, own[0], 2.0], [1.0, 0.0, own[1]]])
  np.testing.assert_allclose(result, jax.nn.log_softmax(expected), atol=1e-6)


@pytest.mark.parametrize(
  "crossed", [(True, False), (False, True), (False,) * 2]
)
def test_the_own_class_is_the_likeliest_though_others_were_not_reached(crossed):
  labels = jnp.array([2, 2])
  begun = boundary.untargeted_search(jnp.zeros((2, 2, 3, 1)), labels, 1)
  result = class_distances.soft_labels(
    begun.replace(
      target_classes=jnp.array([0, 1]),
      distance=jnp.array([0.01, 5.0]),
      crossed=jnp.array(crossed),
    ),
    others=2,
  )
  assert result.argmax() == 2


def test_a_teacher_with_one_answer_ends_the_search_too():
  teacher, run, costs, terms = run_rounds(constant=True)
  assert sum(cost.queries for cost in costs) == teacher.count
  assert terms["walks_found"] == 0.0
  assert terms["classes_known"] == pytest.approx(1 / 3)
  np.testing.assert_array_equal(run.store.samples.labels, 0)
  expected = jax.nn.log_softmax(jnp.array([class_distances.TIE, 0.0, 0.0]))
  np.testing.assert_allclose(
    run.store.samples.targets,
    jnp.broadcast_to(expected, run.store.samples.targets.shape),
    rtol=1e-5,
  )


def test_the_objective_by_hand():
  logits, soft = jnp.array([[1.0, 0.0, -1.0]]), jnp.array([[3.0, 2.0, 1.0]])
  samples = Samples(None, jnp.array([0]), jax.nn.log_softmax(soft))
  result = zsdb3kd.student_loss(
    HYPER, Outputs(logits), samples, LossContext(jnp.int32(0), jnp.zeros(3))
  )

  def log_softmax(x):
    return x - np.log(np.exp(x).sum())

  student, truth = (
    log_softmax(np.asarray(x[0], np.float64) / 20) for x in (logits, soft)
  )
  divergence = (np.exp(truth) * (truth - student)).sum()
  error = -log_softmax(np.array([1.0, 0.0, -1.0]))[0]
  np.testing.assert_allclose(result, error + 512 * divergence, rtol=1e-5)


def test_the_budget_decides_what_the_config_leaves_at_0():
  one = build(budget=10_000, num_walks=1, refinements=1, moves=2)
  assert one.capacity == 1
  cost = 10 + 2 * 4 * (9 + 8 + 1)  # of such a walk
  many = build(budget=9 * cost + 8, num_walks=0, refinements=1, moves=2)
  assert many.capacity == 9
  steps = [
    build(budget=b, num_walks=1, refinements=0, moves=2).phases[2].repeats
    for b in (cost, cost + 2 * 4 * 8 - 1, cost + 2 * 4 * 8)
  ]
  assert steps == [36, 36, 52]


def test_the_released_depth_costs_hundreds_of_thousands():
  with pytest.raises(JaxkdError, match=r"a walk costs (\d+) queries") as error:
    build(**{**RELEASED, "budget": 25_000})
  cost = int(str(error.value).split("a walk costs ")[1].split()[0])
  assert cost > 200_000
  assert build(**{**RELEASED, "budget": 3 * cost - 1}).capacity == 2 * 8


def test_many_walks_are_spread_over_rounds():
  # A walk has two samples, each with four ways to either other class.
  method = build(budget=10**7, num_walks=2048, num_rounds=0)
  assert method.rounds == 2 and method.capacity == 2 * 2048
  # In the two rounds that there must be one walk would be left out.
  method = build(budget=10**7, num_walks=2049, num_rounds=0)
  assert method.rounds == 3 and method.capacity == 2 * 2049


def test_two_classes_are_refused():
  spec = SPEC._replace(num_classes=2)
  with pytest.raises(JaxkdError, match="has one other; choose another method"):
    build_method("zsdb3kd", spec, **TINY)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"num_walks": 0, "refinements": 0}, "num_walks=0, .*refinements=0"),
    ({"budget": 100}, "queries.budget=100: .*a walk costs 426 queries"),
    ({"budget": 0, "num_walks": 0}, "queries.budget=0: at most"),
    ({"distances": "md"}, "distances 'md'. Did you mean mbd"),
    ({"directions": 6}, "directions=6 is not a multiple of probes=4"),
    ({"moves": 3}, "moves=3 is not a multiple of moves_per_sample=2"),
    ({"num_rounds": 7}, "num_rounds=7: there are only 6 walks"),
    ({"hyper": {"temperature": 1.0}}, "hyper.multiplier is missing"),
    ({"tolerance": 0.0}, "tolerance=0.0"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)


def test_it_needs_images_and_real_numbers():
  points = SPEC._replace(name="two_moons", shape=(2,))
  with pytest.raises(JaxkdError, match="two_moons has inputs of shape"):
    build_method("zsdb3kd", points, **TINY)
  with pytest.raises(JaxkdError, match="8-bit"):
    check_access(build(), "label", True)


def test_walks_may_start_at_procedural_images():
  ask = build(start="procedural").phases[0].ask
  _, samples, _ = ask({}, Networks(None, None), jax.random.key(0))
  levels = np.asarray(samples.images) * 255
  np.testing.assert_allclose(levels, levels.round(), atol=1e-3)
