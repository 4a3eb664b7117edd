"""Several settings of the objective's numbers, trained as one program.

Temperature, alpha and multiplier are traced, so that students for all points of
a grid, and all seeds, are one `vmap`. The point is chosen on held-out samples;
what test data would have chosen stands beside it as the oracle.
"""

import itertools
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxkd.config import checks
from jaxkd.data import Dataset
from jaxkd.data.labels import hard_labels
from jaxkd.evaluation import accuracy
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  augment_batch,
  teacher_log_probs,
  train_step,
)
from jaxkd.types import Classifier, JaxkdError, Method, Samples

MEMORY_FRACTION = 0.8  # of a device's memory that students may take


class GridPoint(NamedTuple):
  """Attributes:

  hyper: numbers of the objective.
  students: trained with them, one per seed.
  """

  hyper: dict[str, float]
  students: list[Classifier]


def expand_grid(block, method: Method) -> list[dict[str, float]]:
  """All combinations of the values in `config.grid`; without a grid the
  method's numbers alone.

  Raises:
    JaxkdError: for a number that the method does not have, or without values.
  """
  for name, values in block.items():
    if name not in method.hyper:
      raise JaxkdError(
        f"grid.{name}: the method has the numbers "
        f"{', '.join(sorted(method.hyper)) or '(none)'}; choose among them."
      )
    if not values:
      raise JaxkdError(f"grid.{name} is empty; give values, or leave it out.")
  names = sorted(block)
  return [
    {**method.hyper, **dict(zip(names, values, strict=True))}
    for values in itertools.product(*(block[name] for name in names))
  ]


def check(config, method: Method) -> None:
  """Refuses a grid from which nothing could be chosen.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.not_negative(**{"student.at_once": config.student.at_once})
  if len(expand_grid(config.grid, method)) > 1:
    if not config.student.epochs:
      raise JaxkdError(
        "grid: the points are trained in the student's epochs; set "
        "student.epochs to 1 or more."
      )
    if not config.student.holdout:
      raise JaxkdError(
        "student.holdout=0: the grid's point is chosen on held-out samples; "
        "choose 0.1, for instance."
      )


def at_once(
  recipe: TrainConfig,
  state: TrainState,
  batch: Samples,
  lesson: EpochInputs,
) -> int | None:
  """How many networks one device trains together; None where memory sets no
  limit that is known.

  Args:
    recipe: of all of them.
    state: of one.
    batch: that a device works on at once, `[B, ...]`.
    lesson: of one.
  """
  limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
  if not limit:
    return None

  def step(state, batch, lesson, key):
    view_key, dropout_key = jax.random.split(key)
    shown = augment_batch(recipe, batch, view_key)
    if recipe.per_view:
      shown = shown._replace(targets=teacher_log_probs(lesson.teacher, shown))
    return train_step(recipe, state, shown, lesson, dropout_key)

  lowered = jax.jit(step).lower(state, batch, lesson, jax.random.key(0))
  found = lowered.compile().memory_analysis()
  one = found.temp_size_in_bytes + found.output_size_in_bytes
  own = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  return max(int(MEMORY_FRACTION * limit / (one + own)), 1)


def choose(
  points: list[GridPoint], held_out: Samples
) -> tuple[int, list[float]]:
  """The point whose students are right most often on held-out samples, and
  every point's score; the first of equal ones.

  Right is the label, or where there is none the teacher's answer.
  """
  if len(points) == 1:
    return 0, []
  answers = hard_labels(held_out.targets)
  labels = np.where(held_out.labels < 0, answers, held_out.labels)
  scores = [
    float(np.mean(accuracies(point, held_out.images, labels)))
    for point in points
  ]
  return int(np.argmax(scores)), scores


def accuracies(point: GridPoint, images: Any, labels: Any) -> list[float]:
  """Of each of the point's students."""
  return [
    accuracy.evaluate(student, images, labels)["accuracy"]
    for student in point.students
  ]


def summary(
  points: list[GridPoint], chosen: int, scores: list[float], data: Dataset
) -> dict[str, Any] | None:
  """The grid in the report: every point with what held-out samples
  (`validation`) and test data (`accuracy`) say of it; None without a grid.
  """
  if len(points) == 1:
    return None
  found = []
  for point, score in zip(points, scores, strict=True):
    on_test = None
    if len(data.test_labels):
      on_test = accuracies(point, data.test_images, data.test_labels)
    found.append(
      {
        **point.hyper,
        "validation": score,
        "accuracy": None if on_test is None else float(np.mean(on_test)),
        "accuracies": on_test,
      }
    )
  oracle = None
  if len(data.test_labels):
    oracle = int(np.argmax([each["accuracy"] for each in found]))
  names = sorted(points[0].hyper)
  return {"names": names, "points": found, "chosen": chosen, "oracle": oracle}
