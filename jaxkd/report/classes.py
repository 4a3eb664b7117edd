"""The classes of a report: which are copied worst, and a row for each."""

from typing import Any

from jaxkd.evaluation.accuracy import interval
from jaxkd.runtime.formatting import count, percent, percent_within

MAX_ROWS = 20  # of the page's table


def worst_class(classes: dict[str, Any], name: str) -> str:
  """Returns the lowest of the fractions of all classes, and whose it is.

  Args:
    classes: `classes` of a report.
    name: of the fractions, `student_accuracy` or `agreement`.
  """
  known = [
    (fraction, label)
    for label, fraction in enumerate(classes[name] or ())
    if fraction is not None
  ]
  if not known:
    return percent(None)
  fraction, label = min(known)
  return f"{percent(fraction)} (class {label})"


def summary(classes: dict[str, Any]) -> str:
  """Returns a line with the lowest accuracy and agreement of a class."""
  text = f"lowest accuracy {worst_class(classes, 'student_accuracy')}"
  if classes["agreement"] is not None:
    text += f", lowest agreement {worst_class(classes, 'agreement')}"
  return text


def rows(classes: dict[str, Any]) -> list[tuple[str, ...]]:
  """Returns the rows of the page's table, for at most `MAX_ROWS` classes.

  Of more classes, these are the ones with the student's lowest accuracies.

  Args:
    classes: `classes` of a report.

  Returns:
    For each class its name, number of images, accuracies of teacher and
    student, and agreement, as texts.
  """
  accuracies, images = classes["student_accuracy"], classes["images"]
  labels = list(range(len(images)))
  of_teacher = classes["teacher_accuracy"] or [None] * len(images)
  if len(labels) > MAX_ROWS:
    known = [label for label in labels if accuracies[label] is not None]
    labels = sorted(known, key=lambda label: accuracies[label])[:MAX_ROWS]

  def cell(name: str, counts: str, label: int) -> str:
    if classes[name] is None:
      return percent(None)
    fraction = classes[name][label]
    return percent_within(fraction, interval(fraction, classes[counts][label]))

  return [
    (
      str(label),
      count(images[label]),
      percent(of_teacher[label]),
      cell("student_accuracy", "images", label),
      cell("agreement", "teacher_images", label),
    )
    for label in labels
  ]
