"""In a round the phases ask the teacher, learn from its answers, store samples
and train the student.
"""

import jax
import jax.numpy as jnp
import numpy as np
from point_rounds import (
  classifier,
  growing_passes,
  noise,
  run_rounds,
  start,
  two_phases,
)
import pytest

from jaxkd.pipeline import exchange
from jaxkd.pipeline.costs import round_costs
from jaxkd.teachers.oracles import BlackBox, WhiteBox
from jaxkd.training import objectives
from jaxkd.training.step import init_state

TEACHER = WhiteBox(classifier(0))
LABELS = BlackBox(classifier(0), "label", eight_bit=False)


@pytest.fixture(scope="module")
def two_rounds():
  """The state after two rounds, and the terms of the second."""
  return run_rounds(TEACHER, two_phases(), 2)


def test_phases_repeats_and_student_steps(two_rounds):
  run, terms = two_rounds
  assert int(run.round) == 2
  assert int(run.state) == 2  # one repeat of the learning phase a round
  assert int(run.student.step) == 2 * 3 * 2
  assert int(run.store.inserted) == 2 * 3 * 8  # the first phase stores none
  assert {"asked", "learned", "student"} <= terms.keys()


def test_answers_are_the_teachers_and_stay_with_their_images(two_rounds):
  samples = two_rounds[0].store.samples
  expected = jax.nn.log_softmax(TEACHER.classifier(samples.images).logits)
  np.testing.assert_allclose(samples.targets, expected, atol=1e-5)


def test_the_student_learns_from_them(two_rounds):
  images = noise(jax.random.key(5), 500).images
  labels = TEACHER.classifier(images).logits.argmax(-1)

  def agreement(variables):
    student = classifier(1).replace(variables=variables)
    return float((student(images).logits.argmax(-1) == labels).mean())

  before = agreement(classifier(1).variables)
  assert agreement(two_rounds[0].student.variables) > before + 0.1


def test_a_method_sees_the_network_of_a_white_box_alone():
  for teacher, visible in ((TEACHER, True), (LABELS, False)):
    seen = []
    method = two_phases(lambda nets, seen=seen: seen.append(nets.teacher))
    method = method._replace(objective=objectives.teacher_cross_entropy)
    round_spec, run, inputs = start(teacher, method)
    key = jax.random.key(0)
    jax.eval_shape(
      lambda run, key, spec=round_spec, inputs=inputs: exchange.run_round(
        spec, run, inputs, key
      ),
      run,
      key,
    )
    assert seen
    assert all((network is not None) == visible for network in seen)
  assert not hasattr(LABELS, "classifier")


def test_labels_are_stored_as_integers():
  run, _ = run_rounds(LABELS, growing_passes(), 1)
  assert run.store.samples.targets.dtype == jnp.int32


def test_costs_are_what_the_rounds_ask_train_and_store():
  assert round_costs(*start(LABELS, growing_passes())) == [
    (8, 1, 8, (1, 1)),
    (8, 2, 8, (1, 2)),
    (8, 3, 8, (1, 3)),
  ]
  costs = round_costs(*start(TEACHER, two_phases()))
  assert costs == [(32, 6, 24, (1, 3))] * 2


def test_phases_whose_repeats_grow_train_as_often_as_their_costs_say():
  run, _ = run_rounds(LABELS, growing_passes(), 3)
  assert int(run.student.step) == 1 + 2 + 3


def test_8_bit_teachers_leave_the_pixels_that_they_saw():
  teacher = BlackBox(classifier(0), "label")
  round_spec, _, inputs = start(teacher, growing_passes())
  round_spec = round_spec._replace(eight_bit=True)
  student, key = (
    init_state(classifier(1), round_spec.train_config.tx),
    (jax.random.key(0)),
  )
  run = exchange.init_state(round_spec, inputs, student, key)
  run, _ = exchange.run_round(round_spec, run, inputs, key)
  assert run.store.samples.images.dtype == jnp.uint8
