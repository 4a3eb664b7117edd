"""Accuracy and agreement of every class, and which classes are confused."""

from typing import Any

import numpy as np

from jaxkd.evaluation.accuracy import Predictions

MAX_CLASSES = 100  # of a confusion matrix


def class_scores(
  predictions: Predictions, labels: np.ndarray, num_classes: int
) -> dict[str, Any]:
  """Measures a student and its teacher on the images of every class.

  A fraction is None where a class has no image, and what concerns the teacher
  where it is not known; images without its answer are left out there.

  Args:
    predictions: of the student and its teacher.
    labels: `[N]` true classes.
    num_classes: K.

  Returns:
    `images`, `student_accuracy` and `teacher_accuracy`: by the true class, the
    number of images and the fractions that are classified right;
    `teacher_images` and `agreement`: by the teacher's class, the number of
    images and the fraction for which the student says the same; `confusion`:
    `[K, K]` numbers of images by the teacher's class (rows) and the student's
    (columns), None for more than `MAX_CLASSES`.
  """
  student, teacher, _ = predictions
  labels = np.asarray(labels)

  def counts(classes: np.ndarray) -> np.ndarray:
    return np.bincount(classes, minlength=num_classes)

  def shares(right: np.ndarray, classes: np.ndarray) -> list[float | None]:
    return [
      int(part) / int(whole) if whole else None
      for part, whole in zip(
        counts(classes[right]), counts(classes), strict=True
      )
    ]

  scores = {
    "images": counts(labels).tolist(),
    "student_accuracy": shares(student == labels, labels),
  }
  of_teacher = ("teacher_accuracy", "teacher_images", "agreement", "confusion")
  if teacher is None:
    return scores | dict.fromkeys(of_teacher)
  answered, matrix = teacher >= 0, None
  labels, student, teacher = (
    classes[answered] for classes in (labels, student, teacher)
  )
  if num_classes <= MAX_CLASSES:
    pairs = np.bincount(
      teacher * num_classes + student, minlength=num_classes**2
    )
    matrix = pairs.reshape(num_classes, num_classes).tolist()
  values = (
    shares(teacher == labels, labels),
    counts(teacher).tolist(),
    shares(student == teacher, teacher),
    matrix,
  )
  return scores | dict(zip(of_teacher, values, strict=True))
