"""Tests of the scores of every class."""

import numpy as np
import pytest

from jaxkd.evaluation.accuracy import Predictions
from jaxkd.evaluation.classes import MAX_CLASSES, class_scores

CLASSES = 4  # the last one has no image, and nobody predicts it


@pytest.fixture
def three():
  """Labels, and what a teacher and a student say instead."""
  rng = np.random.default_rng(0)
  labels = rng.integers(0, CLASSES - 1, 60)
  teacher, student = labels.copy(), labels.copy()
  teacher[rng.random(60) < 0.3] = 0
  student[rng.random(60) < 0.3] = 1
  return labels, teacher, student


def test_scores_are_those_that_are_counted_by_hand(three):
  labels, teacher, student = three
  got = class_scores(Predictions(student, teacher), labels, CLASSES)
  assert got["images"] == [int((labels == k).sum()) for k in range(CLASSES)]
  for k in range(CLASSES - 1):
    own, given = labels == k, teacher == k
    assert got["student_accuracy"][k] == np.mean(student[own] == k)
    assert got["teacher_accuracy"][k] == np.mean(teacher[own] == k)
    assert got["agreement"][k] == np.mean(student[given] == k)
    assert got["teacher_images"][k] == given.sum()
    for other in range(CLASSES):
      pairs = (teacher == k) & (student == other)
      assert got["confusion"][k][other] == pairs.sum()
  for name in ("student_accuracy", "teacher_accuracy", "agreement"):
    assert got[name][-1] is None
  assert np.asarray(got["confusion"]).shape == (CLASSES, CLASSES)


def test_without_a_teacher_there_is_the_students_accuracy_alone(three):
  labels, _, student = three
  got = class_scores(Predictions(student), labels, CLASSES)
  assert got["student_accuracy"][0] is not None
  for name in ("teacher_accuracy", "teacher_images", "agreement", "confusion"):
    assert got[name] is None


def test_images_that_the_teacher_did_not_answer_are_left_out(three):
  labels, teacher, student = three
  some = np.where(np.arange(60) < 20, -1, teacher)
  got = class_scores(Predictions(student, some), labels, CLASSES)
  rest = class_scores(
    Predictions(student[20:], teacher[20:]), labels[20:], CLASSES
  )
  for name in ("teacher_accuracy", "teacher_images", "agreement", "confusion"):
    assert got[name] == rest[name]
  assert got["images"] == [int((labels == k).sum()) for k in range(CLASSES)]


def test_many_classes_have_no_matrix(three):
  labels, teacher, student = three
  got = class_scores(Predictions(student, teacher), labels, MAX_CLASSES + 1)
  assert got["confusion"] is None and len(got["agreement"]) == MAX_CLASSES + 1
