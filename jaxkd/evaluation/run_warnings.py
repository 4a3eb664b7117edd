"""Warnings about a finished run, where a person would want one.

Each is one sentence or two: what is seen, what usually causes it, what to try.
"""

from collections.abc import Iterator
import math
from typing import Any

from jaxkd.runtime.formatting import number, percent

DEVIATIONS = 3  # of the accuracy of guesses, above chance
STILL = 1e-4  # step size times steps that changes no image
UNDEFENDED_NATS = 0.2  # KL to the undefended teacher
FAITHFUL, UNFAITHFUL = 0.9, 0.5  # agreement on samples, and on test data
FEW_IMAGES = 1000  # test images, where a report does not say how many
FEW_SAMPLES = 100  # too few for an agreement on samples to say much


def find(
  report: dict[str, Any], num_classes: int, num_rounds: int = 1
) -> list[str]:
  """Returns the warnings about a run.

  Args:
    report: as `jaxkd.pipeline.results.build_report` makes it, with `defense`.
    num_classes: K.
    num_rounds: rounds of the synthesis.
  """
  limit = chance_limit(num_classes, report.get("test_images") or FEW_IMAGES)
  return [
    *_teacher(report, num_classes, limit),
    *_student(report, num_classes, limit),
    *_defense(report),
    *_images(report, num_rounds),
  ]


def chance_limit(num_classes: int, num_images: int) -> float:
  """Returns the accuracy up to which guesses are likely.

  >>> round(chance_limit(10, 10_000), 3)
  0.109
  """
  chance = 1 / num_classes
  deviation = math.sqrt(chance * (1 - chance) / num_images)
  return chance + DEVIATIONS * deviation


def _teacher(
  report: dict[str, Any], num_classes: int, limit: float
) -> Iterator[str]:
  accuracy = report["teacher"]["accuracy"]
  if accuracy is not None and accuracy <= limit:
    yield (
      f"The teacher is at chance: {percent(accuracy)} of the test images, of "
      f"{num_classes} classes. Usually its classes have another order than the "
      "data's, its normaliser is wrong, or it was trained too briefly; try "
      "other data, or more teacher.epochs."
    )


def _student(
  report: dict[str, Any], num_classes: int, limit: float
) -> Iterator[str]:
  student, teacher = report["student"], report["teacher"]
  accuracy, agreement = student["accuracy"], student["agreement"]
  teacher_learned = teacher["accuracy"] is None or teacher["accuracy"] > limit
  if accuracy is not None and accuracy <= limit:
    if teacher_learned:
      yield (
        f"The student is at chance: {percent(accuracy)} of the test images, of "
        f"{num_classes} classes. Usually there were too few images or epochs, "
        "or nearly all images have one label; try more images "
        "(synthesis.num_sets, num_rounds or queries.budget) and more "
        "student.epochs, and look at samples.png."
      )
    return
  samples = (report.get("data_free") or {}).get("samples") or 0
  on_samples = student.get("synthetic_agreement")
  if (
    samples >= FEW_SAMPLES
    and on_samples is not None
    and agreement is not None
    and on_samples >= FAITHFUL
    and agreement < UNFAITHFUL
  ):
    yield (
      f"The student follows the teacher on {percent(on_samples)} of the "
      f"held-out images of the synthesis, but on {percent(agreement)} of the "
      "test images. Usually the images are far from the data; try more "
      "synthesis.num_steps, stronger image priors (synthesis.weights), or "
      "student.augment."
    )


def _defense(report: dict[str, Any]) -> Iterator[str]:
  defense = report.get("defense")
  if not defense or defense["kl_to_normal"] is None:
    return
  if defense.get("changes_answers"):  # it may hide much with few nats
    return
  if defense["kl_to_normal"] < UNDEFENDED_NATS:
    yield (
      f"The defence {defense['name']} changed nothing much: KL(teacher ‖ "
      f"undefended) is {number(defense['kl_to_normal'], 'nat')}. Usually its "
      "weight is too small or its training too brief; raise "
      "teacher.defense.omega or teacher.epochs."
    )


def _images(report: dict[str, Any], num_rounds: int) -> Iterator[str]:
  synthesis = (report.get("config") or {}).get("synthesis", {})
  optimizer = synthesis.get("optimizer") or {}
  for name, rate in (
    ("step_size", synthesis.get("step_size")),
    ("optimizer.learning_rate", optimizer.get("learning_rate")),
  ):
    steps = max(synthesis.get("num_steps") or 1, 1) * num_rounds
    if rate is not None and rate * steps < STILL:
      yield (
        f"The images were never improved: synthesis.{name}={rate:g} moves "
        f"nothing in {steps} steps, so they are as they were at the start. "
        f"Raise synthesis.{name}, or take more steps or rounds."
      )
