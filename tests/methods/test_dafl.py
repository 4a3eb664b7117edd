"""DAFL's generator and student follow its terms, in both released orders of
steps.
"""

import math

from dense_generator import dense_generator
import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import optax
import pytest
from toy_task import KEY, SPEC, linear, network, run_rounds, start

from jaxkd import methods
from jaxkd.methods import dafl
from jaxkd.pipeline.costs import round_costs
from jaxkd.synthesis import pixels
from jaxkd.synthesis.generator import GeneratorState
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.types import Classifier, DataSpec, JaxkdError, Networks, Outputs

TINY = {
  "num_rounds": 2,
  "steps_per_round": 7,
  "batch_size": 8,
  "mode": "original",
  "student_steps": 1,
  "generator": "dafl",
  "latents": 4,
  "width": 2,
  "step_size": 0.01,
  "weights": {"one_hot": 1.0, "balance": 5.0, "activation": 0.1},
  "balance": "log10_sum",
  "capacity": 32,
}
DATAFREE = {"mode": "datafree", "student_steps": 5, "balance": "ln_sum"}
MODES = pytest.mark.parametrize(
  "changes", [{}, DATAFREE], ids=["original", "datafree"]
)


def build(**changes):
  hyper = {"temperature": 1.0, "alpha": 1.0}
  return build_method("dafl", SPEC, hyper=hyper, **{**TINY, **changes})


def teacher_apply(variables, images, *, train=False, rng=None):
  """Linear, with features; another network in training."""
  logits = linear(variables, images)[0].logits
  features = jnp.abs(images.reshape(len(images), -1))
  return Outputs(-logits if train else logits, features=(features,)), {}


TEACHER = Classifier(network(1).variables, teacher_apply)
NETS = Networks(TEACHER, network(2))


def make_dense(patch):
  """A generator that compiles at once, in place of the published one."""
  patch.setattr(
    dafl, "create_generator", lambda *args, **fields: dense_generator()
  )


@pytest.fixture
def dense(monkeypatch):
  make_dense(monkeypatch)


@pytest.fixture(scope="module")
def asks():
  """By mode, the state before the first round and `ask`, compiled once."""
  with pytest.MonkeyPatch.context() as patch:
    make_dense(patch)
    methods = {"original": build(), "datafree": build(**DATAFREE)}
  return {
    mode: (method.init(KEY, NETS), jax.jit(method.phases[0].ask))
    for mode, method in methods.items()
  }


def first_rounds(method, count):
  return run_rounds(method, count, WhiteBox(TEACHER), tx=optax.adam(0.03))


def first_batch(method, nets=NETS):
  """The state, samples and terms."""
  ask = jax.jit(method.phases[0].ask)
  return ask(method.init(KEY, nets), nets, KEY)


def same(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.parametrize(
  "balance, least", [("log10_sum", -1.0), ("ln_sum", -math.log(10))]
)
def test_the_balance_term(balance, least, dense):
  """Uniform predictions are at its least, one class at zero."""
  spec = DataSpec("toy", SPEC.shape, 10, (0.5,), (0.5,))
  hyper = {"temperature": 1.0, "alpha": 1.0}
  method = build_method(
    "dafl", spec, hyper=hyper, **{**TINY, "balance": balance}
  )

  def constant(variables, images, *, train=False, rng=None):
    rows = jnp.zeros((len(images), 1)) + variables
    return Outputs(rows, features=(rows,)), {}

  @jax.jit
  def balance_for(logits):
    nets = Networks(Classifier(logits, constant), None)
    return method.phases[0].ask(method.init(KEY, nets), nets, KEY)[2]["balance"]

  assert balance_for(jnp.zeros(10)) == pytest.approx(least, rel=1e-5)
  assert balance_for(50.0 * jnp.eye(10)[3]) == pytest.approx(0, abs=1e-5)
  assert least < balance_for(jnp.arange(10.0)) < 0


def test_the_terms_of_a_batch(asks):
  state, ask = asks["original"]
  _, samples, terms = ask(state, NETS, KEY)
  outputs = TEACHER(samples.images)
  p = jax.nn.softmax(outputs.logits)
  q = p.mean(0)
  np.testing.assert_allclose(
    [terms["one_hot"], terms["balance"], terms["activation"]],
    [
      -np.log(p.max(-1)).mean(),
      np.sum(q * np.log10(q)),
      -samples.images.mean(),
    ],
    rtol=1e-5,
  )


def test_the_student_does_not_depend_on_the_generators_terms(dense):
  """Equal images, equal update, whatever the weights make of the generator."""
  others = {"one_hot": -3.0, "balance": 0.0, "activation": 40.0}
  one, other = (
    first_rounds(build(steps_per_round=1, weights=weights), 1)[0]
    for weights in (TINY["weights"], others)
  )
  assert same(one.student, other.student)
  assert not same(one.state.generator, other.state.generator)


@pytest.mark.parametrize("mode", ["original", "datafree"])
def test_the_generator_does_not_depend_on_the_student(mode, asks):
  state, ask = asks[mode]
  one, other = (
    ask(state, NETS._replace(student=network(seed)), KEY) for seed in (2, 3)
  )
  assert same(one, other)


@pytest.mark.parametrize("mode", ["original", "datafree"])
def test_original_images_are_from_before_the_update(mode, asks):
  """And datafree ones from after it."""
  state, ask = asks[mode]
  variables, opt_state = state.generator
  further = jax.tree.map(lambda leaf: leaf + 1, opt_state)
  batches = [
    ask(
      state._replace(generator=GeneratorState(variables, opt_state)), NETS, KEY
    )
    for opt_state in (opt_state, further)
  ]
  (one, one_images), (other, other_images) = (
    (state.generator.variables, samples.images) for state, samples, _ in batches
  )
  assert not same(one, other)
  assert same(one_images, other_images) == (mode == "original")


@pytest.mark.parametrize(
  "changes, generator_steps, student_steps",
  [
    ({}, 14, 14),
    ({"student_steps": 3}, 14, 42),
    (DATAFREE, 3, 14),  # before the updates 0, 5 and 10
    ({**DATAFREE, "student_steps": 2}, 7, 14),
  ],
)
def test_two_rounds(changes, generator_steps, student_steps, dense):
  """Steps of both networks; answers and labels are the frozen teacher's."""
  method = build(**changes)
  run, _ = first_rounds(method, 2)
  _, opt_state = run.state.generator
  assert int(optax.tree.get(opt_state, "count")) == generator_steps
  assert int(run.student.step) == student_steps
  samples = run.store.samples
  logits = TEACHER(samples.images)[0]
  np.testing.assert_allclose(
    samples.targets, jax.nn.log_softmax(logits), atol=1e-5
  )
  np.testing.assert_array_equal(samples.labels, logits.argmax(-1))
  assert int(run.store.inserted) == 2 * 7 * 8
  costs = round_costs(*start(method, WhiteBox(TEACHER)))
  assert [cost.updates for cost in costs] == [student_steps // 2] * 2
  assert sum(cost.queries for cost in costs) == 0


def test_how_the_generator_normalises(monkeypatch):
  """By the batch in original, by its running statistics in datafree."""
  generator = dense_generator()

  def apply(variables, latents, *, train=True):
    pre, changed = generator.apply(variables, latents)
    return 0.1 * pre + (9 if train else -9), changed

  marked = generator.replace(apply=apply)
  monkeypatch.setattr(dafl, "create_generator", lambda *a, **k: marked)
  assert first_batch(build())[1].images.min() > 0.9
  assert first_batch(build(**DATAFREE))[1].images.max() < 0.1


@pytest.mark.slow
@MODES
def test_rounds_with_a_published_generator(changes):
  run, terms = first_rounds(build(**changes), 1)
  assert all(np.isfinite(list(round_.values())).all() for round_ in terms)
  before = build(**changes).init(KEY, NETS).generator.variables
  after, _ = run.state.generator
  for part in ("params", "batch_stats"):
    assert not same(before[part], after[part])


def test_the_generator_lowers_its_terms(asks):
  """Adam on one batch of latents, since the key stays the same."""
  (state, ask), losses = asks["original"], []
  for _ in range(30):
    state, _, terms = ask(state, NETS, KEY)
    losses.append(float(pixels.weighted_sum(terms, TINY["weights"])))
  assert losses[-1] < losses[0] - 0.05
  assert max(np.diff(losses)) < 0.02


@MODES
def test_the_student_learns(changes, dense):
  method = build(**changes, steps_per_round=100, batch_size=32, num_rounds=4)
  run, terms = first_rounds(method, 4)
  assert terms[-1]["student"] < 0.1 * terms[0]["student"]
  images = jax.random.uniform(jax.random.key(5), (500, *SPEC.shape))

  def agreement(params):
    labels = linear(params, images)[0].logits.argmax(-1)
    return np.mean(labels == TEACHER(images).logits.argmax(-1))

  assert agreement(network(2).variables) < 0.6
  assert agreement(run.student.variables) > 0.95


def test_another_objective_has_labels_to_work_with(dense):
  method = methods.build(
    "dafl",
    SPEC,
    hyper={"temperature": 50.0, "alpha": 0.5, "multiplier": 2.0},
    synthesis=TINY,
    objective="htc",
  )
  loss = first_rounds(method, 1)[1][0]["student"]
  assert np.isfinite(loss)
  assert loss > 0


def test_a_teacher_without_features():
  nets = Networks(network(1), network(2))
  with pytest.raises(
    JaxkdError, match="'classifier' returns none.*activation=0"
  ):
    build().init(KEY, nets)
  weights = {**TINY["weights"], "activation": 0.0}
  _, _, terms = first_batch(build(weights=weights), nets)
  assert set(terms) == {"one_hot", "balance"}


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"mode": "orignal"}, "Did you mean original"),
    ({"balance": "sum"}, "log10_sum, ln_sum"),
    ({"weights": {"one_hot": 1.0}}, "weights.balance is missing"),
    ({"step_size": 0.0}, "step_size=0.0"),
    ({"capacity": 7}, "only 7 places"),
  ],
)
def test_values_that_can_not_be(changes, message):
  with pytest.raises(JaxkdError, match=message):
    build(**changes)
