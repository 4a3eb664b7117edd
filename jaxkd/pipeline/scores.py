"""Accuracy, agreement and divergence on test data, of students and teachers."""

from typing import Any

import numpy as np

from jaxkd import defenses
from jaxkd.data import Dataset
from jaxkd.evaluation.accuracy import (
  Predictions,
  evaluate,
  interval,
  num_answered,
  predict,
  score,
)
from jaxkd.evaluation.calibration import calibration_error
from jaxkd.evaluation.network_costs import measure
from jaxkd.pipeline.setup import Setup
from jaxkd.pipeline.teacher import TeacherPair
from jaxkd.teachers.access import TeacherHandle
from jaxkd.types import Classifier


def evaluate_teacher(
  dataset: Dataset, teacher: TeacherHandle, predictions: Predictions | None
) -> dict[str, Any]:
  """Costs, test accuracy and calibration error of a teacher; None where that is
  not known.

  Args:
    dataset: of the run.
    teacher: the teacher.
    predictions: its own and a student's, of `predict_test_data`.
  """
  fields = ("parameters", "bytes", "flops", "latency_ms")
  costs, calibration = {"model": teacher.name, **dict.fromkeys(fields)}, None
  if teacher.classifier is not None:
    costs = measure(teacher.classifier, dataset.spec)
    calibration = test_calibration(teacher.classifier, dataset)
  accuracy = None
  if predictions is not None and predictions.teacher is not None:
    answered = predictions.teacher >= 0
    right = predictions.teacher == dataset.test_labels
    accuracy = float(np.mean(right[answered])) if answered.any() else None
  return {
    **costs,
    "accuracy": accuracy,
    "accuracy_interval": interval(accuracy, num_answered(predictions)),
    "calibration_error": calibration,
  }


def evaluate_defense(
  setup: Setup, pair: TeacherPair | None, dataset: Dataset
) -> dict[str, Any] | None:
  """Accuracy and calibration error of the undefended teacher, and
  KL(published || undefended) on test data in nats; None without a defence.
  """
  if pair is None or pair.undefended is None:
    return None
  defense = setup.config.teacher.defense
  return {
    **defense.to_dict(),
    "changes_answers": defenses.changes_answers(defense.name),
    "normal_accuracy": test_accuracy(pair.undefended, dataset),
    "normal_calibration_error": test_calibration(pair.undefended, dataset),
    "kl_to_normal": test_kl(pair.published, pair.undefended, dataset),
  }


def evaluate_effective_teacher(
  setup: Setup,
  effective_teacher: Classifier | None,
  pair: TeacherPair | None,
  dataset: Dataset,
) -> dict[str, Any] | None:
  """Accuracy of the network that the method trained in the teacher's place,
  and its KL to the undefended teacher; None where the student follows the
  teacher itself.
  """
  if setup.method.pre_student_stage is None or effective_teacher is None:
    return None
  undefended = pair.undefended or pair.published
  return {
    "name": effective_teacher.name,
    "accuracy": test_accuracy(effective_teacher, dataset),
    "kl_to_normal": test_kl(effective_teacher, undefended, dataset),
  }


def predict_test_data(
  dataset: Dataset, teacher: TeacherHandle, student: Classifier
) -> Predictions | None:
  """What a student and, as far as it is known, its teacher say about the test
  images; None without test data.
  """
  if not len(dataset.test_labels):
    return None
  predictions = predict(
    student, dataset.test_images, teacher=teacher.classifier
  )
  if teacher.test_labels is not None:
    predictions = predictions._replace(teacher=teacher.test_labels)
  return predictions


def score_student(
  dataset: Dataset, predictions: Predictions | None
) -> dict[str, float | None]:
  """Accuracy, agreement and KL of a student; None for what is not known."""
  scores = {}
  if predictions is not None:
    scores = score(predictions, dataset.test_labels)
  return {name: scores.get(name) for name in ("accuracy", "agreement", "kl")}


def test_accuracy(classifier: Classifier, dataset: Dataset) -> float | None:
  """Accuracy on the test split; None if there is none."""
  if not len(dataset.test_labels):
    return None
  scores = evaluate(classifier, dataset.test_images, dataset.test_labels)
  return scores["accuracy"]


def test_calibration(classifier: Classifier, dataset: Dataset) -> float | None:
  """Expected calibration error on the test split; None if there is none."""
  images, labels = dataset.test_images, dataset.test_labels
  return calibration_error(classifier, images, labels)


def test_kl(
  model: Classifier, reference: Classifier, dataset: Dataset
) -> float | None:
  """The mean of KL(model || reference) on test data, in nats (table 3 of
  Jandial et al., ECCV 2022, which does not say which way round).
  """
  if not len(dataset.test_labels):
    return None
  scores = evaluate(
    reference, dataset.test_images, dataset.test_labels, teacher=model
  )
  return scores["kl"]
