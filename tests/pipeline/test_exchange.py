"""One round, with a two-player method and a black box made for the test."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxkd.pipeline import exchange
from jaxkd.pipeline.exchange import RoundInputs, RoundSpec
from jaxkd.pipeline.host_exchange import make_host_round
from jaxkd.pipeline.method import check_access
from jaxkd.teachers.oracles import BlackBox, WhiteBox
from jaxkd.training import objectives, sample_store as stores
from jaxkd.training.step import TrainConfig, init_state
from jaxkd.types import (
  Classifier,
  DataSpec,
  JaxkdError,
  Method,
  Outputs,
  Phase,
  Samples,
)

SPEC = DataSpec("toy", (2,), 3, (0.0, 0.0), (1.0, 1.0))


def linear(variables, images, *, train=False, rng=None):
  return Outputs(images @ variables["params"]["w"]), {}


def classifier(seed):
  w = jax.random.normal(jax.random.key(seed), (2, 3))
  return Classifier({"params": {"w": w}}, linear)


def objective(hyper, outputs, samples, context):
  return optax.softmax_cross_entropy(outputs.logits, jnp.exp(samples.targets))


def noise(key, count=8):
  return Samples(
    jax.random.normal(key, (count, 2)), jnp.zeros(count, jnp.int32)
  )


def two_player(seen):
  """A first phase that only learns from answers, a second that trains."""

  def ask(state, nets, key):
    seen.append(nets.teacher)
    return state, noise(key), {"asked": jnp.float32(1)}

  def learn(state, nets, answered, key):
    return state + 1, answered, {"learned": answered.targets.mean()}

  return Method(
    init=lambda key, nets: jnp.int32(0),
    phases=(
      Phase(ask, learn, store=False),
      Phase(ask, repeats=3, student_steps=2),
    ),
    rounds=2,
    capacity=48,
    objective=objective,
    hyper={},
    required_access="label",
  )


def play(teacher, method, rounds):
  rules, table, now = begin(teacher, method)
  play_round = jax.jit(functools.partial(exchange.run_round, rules))
  for index in range(rounds):
    now, terms = play_round(now, table, jax.random.key(index))
  return now, terms


def begin(teacher, method, in_process=True):
  student = classifier(1)
  recipe = TrainConfig(linear, optax.sgd(0.5), method.objective)
  rules = RoundSpec(method, recipe, SPEC, teacher.access)
  table = RoundInputs(teacher if in_process else None, student, {})
  state = init_state(student, recipe.tx)
  return (
    rules,
    table,
    exchange.init_state(rules, table, state, jax.random.key(0)),
  )


def test_phases_repeats_and_student_steps():
  teacher = WhiteBox(classifier(0))
  now, terms = play(teacher, two_player([]), rounds=2)
  assert int(now.state) == 2  # one repeat of the learning phase a round
  assert int(now.student.step) == 2 * 3 * 2
  assert int(now.store.inserted) == 2 * 3 * 8  # the first phase keeps none
  assert {"asked", "learned", "student"} <= terms.keys()


def test_answers_are_the_teachers_and_stay_with_their_images():
  teacher = WhiteBox(classifier(0))
  now, _ = play(teacher, two_player([]), rounds=2)
  kept = now.store.samples
  expected = jax.nn.log_softmax(teacher.classifier(kept.images).logits)
  np.testing.assert_allclose(kept.targets, expected, atol=1e-5)


def test_the_student_learns_from_them():
  teacher = WhiteBox(classifier(0))
  now, _ = play(teacher, two_player([]), rounds=2)
  images = noise(jax.random.key(5), 500).images

  def agreement(variables):
    student = classifier(1).replace(variables=variables)
    same = student(images).logits.argmax(-1) == teacher.classifier(
      images
    ).logits.argmax(-1)
    return float(same.mean())

  before = agreement(classifier(1).variables)
  assert agreement(now.student.variables) > before + 0.1


def test_a_method_sees_nothing_of_a_black_box():
  seen = []
  method = two_player(seen)._replace(objective=objectives.teacher_cross_entropy)
  black_box = BlackBox(classifier(0), "label", eight_bit=False)
  now, _ = play(black_box, method, rounds=1)
  assert set(seen) == {None}
  assert now.store.samples.targets.dtype == jnp.int32
  assert not hasattr(black_box, "classifier")


def test_a_teacher_that_gives_too_little_is_refused():
  needy = two_player([])._replace(required_access="white_box")
  with pytest.raises(JaxkdError, match="needs white_box .* gives label"):
    begin(BlackBox(classifier(0), "label"), needy)


def test_8_bits_are_refused_where_differences_would_be_lost():
  fine = two_player([])._replace(float_pixels=True)
  with pytest.raises(JaxkdError, match="8-bit"):
    check_access(fine, "label", eight_bit=True)
  check_access(fine, "label", eight_bit=False)


class Service:
  """A teacher that the host has to ask; counts what it is shown."""

  access, in_process, eight_bit = "label", False, False

  def __init__(self, hidden):
    self.hidden, self.shown = hidden, 0

  def answer(self, images):
    assert isinstance(images, np.ndarray)
    self.shown += len(images)
    return np.asarray(self.hidden(images).logits.argmax(-1), np.int32)


def pool_method():
  """Asks 8 images a round, then makes a pass over all that were answered."""

  def ask(state, nets, key):
    return state, noise(key), {}

  def look_again(state, nets, key):
    samples = stores.shuffled_batch(nets.store, key, jnp.int32(0), 8)
    return state, samples, {}

  passes = Phase(
    look_again,
    repeats=lambda held: held // 8,
    student_steps=1,
    store=False,
    queries=False,
  )
  return two_player([])._replace(
    init=lambda key, nets: jnp.int32(0),
    phases=(Phase(ask), passes),
    rounds=3,
    capacity=24,
    objective=objectives.teacher_cross_entropy,
  )


def test_a_remote_teacher_is_asked_the_same_and_teaches_the_same():
  hidden, method = classifier(0), pool_method()
  near, _ = play(BlackBox(hidden, "label", eight_bit=False), method, rounds=3)
  service = Service(hidden)
  rules, table, far = begin(service, method, in_process=False)
  play_round = make_host_round(rules, service)
  for index in range(3):
    far, terms = play_round(far, table, jax.random.key(index))
  assert service.shown == 24
  np.testing.assert_array_equal(
    near.store.samples.targets, far.store.samples.targets
  )
  np.testing.assert_allclose(
    near.student.variables["params"]["w"],
    far.student.variables["params"]["w"],
    rtol=1e-5,
  )
  assert "student" in terms


def test_bills_say_what_the_rounds_ask_and_do():
  rules, table, now = begin(Service(classifier(0)), pool_method(), False)
  assert exchange.round_costs(rules, now, table) == [
    (8, 1, 8),
    (8, 2, 8),
    (8, 3, 8),
  ]
  rules, table, now = begin(WhiteBox(classifier(0)), two_player([]))
  assert exchange.round_costs(rules, now, table) == [(32, 6, 24)] * 2


def test_phases_whose_repeats_grow_train_as_often_as_billed():
  now, _ = play(
    BlackBox(classifier(0), "label", eight_bit=False), pool_method(), rounds=3
  )
  assert int(now.student.step) == 1 + 2 + 3


def test_8_bit_teachers_leave_the_pixels_that_they_saw():
  rules, table, now = begin(BlackBox(classifier(0), "label"), pool_method())
  rules = rules._replace(eight_bit=True)
  state = init_state(classifier(1), rules.train_config.tx)
  now = exchange.init_state(rules, table, state, jax.random.key(0))
  now, _ = exchange.run_round(rules, now, table, jax.random.key(0))
  assert now.store.samples.images.dtype == jnp.uint8


@pytest.mark.parametrize("chunk", [3, 5, 20])
def test_white_box_answers_in_chunks_as_at_once(monkeypatch, chunk):
  from jaxkd.evaluation import predictions

  images = noise(jax.random.key(0), 10).images
  whole = WhiteBox(classifier(0)).answer(images)
  monkeypatch.setattr(predictions, "CHUNK_SIZE", chunk)
  np.testing.assert_allclose(
    WhiteBox(classifier(0)).answer(images), whole, atol=1e-6
  )
