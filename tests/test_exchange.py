"""One round, with a two-player method and a black box made for the test."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxkd import exchange, training
from jaxkd.teachers.white_box import WhiteBox
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


@flax.struct.dataclass
class LabelsOnly:
  """A black box: answers, and nothing else to look at."""

  hidden: Classifier
  access = "label"

  def answer(self, images):
    return self.hidden(images).logits.argmax(-1).astype(jnp.int32)


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
      Phase(ask, learn, keep=False),
      Phase(ask, repeats=3, student_steps=2),
    ),
    rounds=2,
    capacity=48,
    objective=objective,
    hyper={},
    needs="label",
  )


def play(teacher, method, rounds):
  student = classifier(1)
  recipe = training.Recipe(linear, optax.sgd(0.5), method.objective)
  state = training.create(student, recipe.tx)
  key = jax.random.key(0)
  now = exchange.new_play(method, teacher, student, state, key)
  play_round = jax.jit(
    functools.partial(exchange.play_round, method, recipe, SPEC)
  )
  for index in range(rounds):
    now, terms = play_round(
      now, teacher, student, {}, jax.random.fold_in(key, index)
    )
  return now, terms


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
  method = two_player(seen)._replace(
    objective=lambda hyper, outputs, samples, context: (
      optax.softmax_cross_entropy_with_integer_labels(
        outputs.logits, samples.targets
      )
    )
  )
  now, _ = play(LabelsOnly(classifier(0)), method, rounds=1)
  assert set(seen) == {None}
  assert now.store.samples.targets.dtype == jnp.int32
  assert not hasattr(LabelsOnly(classifier(0)), "classifier")


def test_a_teacher_that_gives_too_little_is_refused():
  needy = two_player([])._replace(needs="white_box")
  with pytest.raises(JaxkdError, match="needs white_box .* gives label"):
    play(LabelsOnly(classifier(0)), needy, rounds=1)


def test_white_box_answers_in_chunks_as_at_once(monkeypatch):
  from jaxkd.teachers import white_box

  images = noise(jax.random.key(0), 10).images
  whole = WhiteBox(classifier(0)).answer(images)
  monkeypatch.setattr(white_box, "ANSWER_CHUNK", 3)
  np.testing.assert_allclose(
    WhiteBox(classifier(0)).answer(images), whole, atol=1e-6
  )
