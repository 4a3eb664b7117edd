"""Procedural images: no image is asked twice, students select from the second
round on, and the loss is that of the teacher's answers.
"""

import jax
import jax.numpy as jnp
from method_builder import build_method
import numpy as np
import pytest
import toy_task
from toy_task import SPEC

from jaxkd.synthesis import procedural
from jaxkd.synthesis.selecting_students import SelectingStudents
from jaxkd.synthesis.selection_fields import SelectionConfig
from jaxkd.teachers.oracles import WhiteBox
from jaxkd.training import objectives
from jaxkd.types import JaxkdError, LossContext, Outputs, Samples

CONTEXT = LossContext(jnp.int32(0), jnp.zeros(3, jnp.int32))
SELECTION = {
  "criterion": "margin",
  "critic": "students",
  "candidates": 2.0,
  "mutations": 2.0,
  "members": 2,
  "visits": 60,
  "min_epochs": 2,
  "max_epochs": 5,
  "batch_size": 4,
  "learning_rate": 0.1,
  "weight_decay": 0.0,
}


def build(spec=SPEC, **fields):
  fields = {
    "hyper": {"temperature": 1.0},
    "budget": 36,
    "num_rounds": 0,
    "batch_size": 12,
    "sources": {"smooth": 1.0},
    "answers": "once",
    "ensemble": 0,
    "extra_images": 0,
    "selection": SELECTION,
    **fields,
  }
  return build_method("procedural", spec, **fields)


def stored_images(run):
  return np.asarray(run.store.samples.images).reshape(
    len(run.store.samples.labels), -1
  )


def test_what_is_drawn_is_asked_without_students():
  method = build(selection={**SELECTION, "criterion": "none"})
  run, _ = toy_task.run_rounds(method, 3, toy_task.black_box("label"))
  assert len(np.unique(stored_images(run), axis=0)) == 36
  assert method.round_student is None


def test_students_learn_all_answers_and_select_new_images():
  learning = {**SELECTION, "visits": 2000, "max_epochs": 60}
  method = build(batch_size=30, budget=90, selection=learning)
  run, terms = toy_task.run_rounds(method, 3, toy_task.black_box("label"))
  images = stored_images(run)
  assert images.dtype == np.uint8
  assert len(np.unique(images, axis=0)) == len(images) == 90
  assert all(np.isfinite(term["members"]) for term in terms)
  samples = run.store.samples
  variables = method.round_student(run.state)
  logits = toy_task.linear(variables, samples.images / 255)[0].logits
  assert (logits.argmax(-1) == samples.targets).mean() > 0.9


def test_a_white_box_selects_until_its_classes_are_balanced():
  selection = {**SELECTION, "criterion": "random", "critic": "teacher"}
  selection |= {"candidates": 20.0, "mutations": 0.0}
  method = build(num_rounds=3, selection=selection)
  teacher = WhiteBox(toy_task.network(1))
  run, terms = toy_task.run_rounds(method, 3, teacher)
  assert terms[0] == {}  # no students are trained
  assert method.required_access == "white_box"
  assert method.round_student is None

  def smallest(images):
    classes = teacher.answer(images).argmax(-1)
    return int(jnp.bincount(classes, length=3).min())

  assert smallest(run.store.samples.images) >= 11
  drawn = procedural.draw("smooth", toy_task.KEY, 36, SPEC.shape)
  assert smallest(drawn) < 11


def test_a_budget_pays_for_whole_rounds():
  assert build(budget=40).rounds == 3
  assert build(budget=40, num_rounds=2).rounds == 2
  with pytest.raises(JaxkdError, match=r"queries\.budget=5 does not pay"):
    build(budget=5)


def test_without_any_source_nothing_is_drawn():
  with pytest.raises(JaxkdError, match=r"synthesis\.sources: all weights"):
    build(sources={"smooth": 0.0})


def test_points_are_refused():
  with pytest.raises(JaxkdError, match=r"makes images \[H, W, C\]"):
    build(spec=SPEC._replace(shape=(2,)))


def test_the_epochs_of_a_member_follow_from_its_visits():
  students = SelectingStudents(SelectionConfig(**SELECTION), None, {}, 3)
  # 60 visits of 12 images are 5 epochs of 3 updates, of 24 images 2 of 6.
  assert int(students.num_updates(jnp.int32(12))) == 15
  assert int(students.num_updates(jnp.int32(24))) == 12
  assert int(students.num_updates(jnp.int32(1000))) == 500


def test_labels_give_cross_entropy_and_probabilities_a_divergence():
  logits = jnp.array([[1.0, 0.0, -1.0]])
  labels = Samples(None, None, jnp.array([2], jnp.int32))
  hyper = {"temperature": jnp.float32(2.0)}
  loss = objectives.teacher_answers(hyper, Outputs(logits), labels, CONTEXT)
  log_probs = jax.nn.log_softmax(logits)
  np.testing.assert_allclose(loss, -log_probs[:, 2], rtol=1e-5)

  answers = jnp.log(jnp.array([[0.2, 0.3, 0.5]]))
  soft = Samples(None, None, answers)
  loss = objectives.teacher_answers(hyper, Outputs(logits), soft, CONTEXT)
  p, q = jax.nn.softmax(answers / 2), jax.nn.softmax(logits / 2)
  by_hand = 4 * (p * jnp.log(p / q)).sum(-1)
  np.testing.assert_allclose(loss, by_hand, rtol=1e-5)


def test_a_white_box_answers_views():
  assert build(answers="per_view", num_rounds=2).relabel_views
  with pytest.raises(
    JaxkdError, match=r"synthesis\.ensemble=2: with answers=per_view"
  ):
    build(answers="per_view", num_rounds=2, ensemble=2)


def test_an_ensemble_labels_further_images_after_the_rounds():
  assert build().pre_student_stage is None
  stage = build(ensemble=2, extra_images=3).pre_student_stage
  assert "an ensemble of 2, which labels 3 images" in stage.description
