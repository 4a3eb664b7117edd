"""A grid over the numbers of the student's objective, trained as one program.

Temperature, alpha and multiplier are traced, so that students for all points of
a grid, and all seeds, are one `vmap`. The point is chosen on held-out samples;
the report also has the point that test data would have chosen, as the oracle.
"""

import itertools
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from jaxkd.data import Dataset
from jaxkd.data.labels import hard_labels
from jaxkd.evaluation import accuracy
from jaxkd.runtime import compile_target
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  augment_batch,
  teacher_log_probs,
  train_step,
)
from jaxkd.types import Array, Classifier, JaxkdError, Method, Samples

MEMORY_FRACTION = 0.8  # share of a device's memory for students


class GridPoint(NamedTuple):
  """One point of the grid, with its trained students.

  Attributes:
    hyper: numbers of the objective.
    students: trained with these numbers, one per seed.
  """

  hyper: dict[str, float]
  students: list[Classifier]


def expand_grid(block: ConfigDict, method: Method) -> list[dict[str, float]]:
  """All combinations of the values in `config.grid`; without a grid the
  method's numbers alone.

  Raises:
    JaxkdError: for a number that the method does not have, or without values.
  """
  for name, values in block.items():
    if name not in method.hyper:
      raise JaxkdError(
        f"grid.{name}: the method has the numbers "
        f"{', '.join(sorted(method.hyper)) or '(none)'}; choose among them. "
        "A weight of 0 in hyper can leave its term out of the method."
      )
    if not values:
      raise JaxkdError(f"grid.{name} is empty; give values, or leave it out.")
  names = sorted(block)
  return [
    {**method.hyper, **dict(zip(names, values, strict=True))}
    for values in itertools.product(*(block[name] for name in names))
  ]


def check(config: ConfigDict, method: Method) -> None:
  """Checks that a point of the grid can be chosen.

  Raises:
    JaxkdError: if several points have no epochs or no held-out samples.
  """
  if len(expand_grid(config.grid, method)) > 1:
    if not config.student.epochs:
      raise JaxkdError(
        "grid: the points are trained in the student's epochs; set "
        "student.epochs to 1 or more."
      )
    if not config.student.validation_fraction:
      raise JaxkdError(
        "student.validation_fraction=0: the grid's point is chosen on "
        "held-out samples; choose 0.1, for instance."
      )


def at_once(
  train_config: TrainConfig,
  state: TrainState,
  batch: Samples,
  inputs: EpochInputs,
) -> int | None:
  """How many networks one device can train together; None if its memory is
  not known.

  Args:
    train_config: how all of them are trained.
    state: of one network.
    batch: the samples `[B, ...]` that a device works on at once.
    inputs: of one network's epoch.
  """
  limit = compile_target.memory_bytes()
  if not limit:
    return None

  def step(
    state: TrainState, batch: Samples, inputs: EpochInputs, key: Array
  ) -> tuple[TrainState, Array]:
    view_key, dropout_key = jax.random.split(key)
    views = augment_batch(train_config, batch, view_key)
    if train_config.per_view:
      targets = teacher_log_probs(inputs.teacher, views)
      views = views._replace(targets=targets)
    return train_step(train_config, state, views, inputs, dropout_key)

  lowered = jax.jit(step).lower(state, batch, inputs, jax.random.key(0))
  analysis = lowered.compile().memory_analysis()
  temporary = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
  permanent = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  return max(int(MEMORY_FRACTION * limit / (temporary + permanent)), 1)


def choose(
  points: list[GridPoint], held_out: Samples, *, real: bool
) -> tuple[int, list[float]]:
  """The index of the point with the best validation accuracy, and the accuracy
  of every point; the first of equal ones is chosen.

  Accuracy is measured on held-out samples against the teacher's answers; on
  `real` images against their labels, where they have any. The label of a
  synthetic image is the class that it was made for, which the teacher may see
  otherwise.
  """
  if len(points) == 1:
    return 0, []
  labels = hard_labels(held_out.targets)
  if real:
    labels = np.where(held_out.labels < 0, labels, held_out.labels)
  scores = [
    float(np.mean(accuracies(point, held_out.images, labels)))
    for point in points
  ]
  return int(np.argmax(scores)), scores


def accuracies(
  point: GridPoint, images: np.ndarray, labels: np.ndarray
) -> list[float]:
  """The accuracy of each of the point's students."""
  return [
    accuracy.evaluate(student, images, labels)["accuracy"]
    for student in point.students
  ]


def summary(
  points: list[GridPoint], chosen: int, scores: list[float], data: Dataset
) -> dict[str, Any] | None:
  """The grid as the report has it: every point with its accuracy on held-out
  samples (`validation`) and on test data (`accuracy`); None without a grid.
  """
  if len(points) == 1:
    return None
  rows = []
  for point, score in zip(points, scores, strict=True):
    on_test = None
    if len(data.test_labels):
      on_test = accuracies(point, data.test_images, data.test_labels)
    rows.append(
      {
        **point.hyper,
        "validation": score,
        "accuracy": None if on_test is None else float(np.mean(on_test)),
        "accuracies": on_test,
      }
    )
  oracle = None
  if len(data.test_labels):
    oracle = int(np.argmax([each["accuracy"] for each in rows]))
  names = sorted(points[0].hyper)
  return {"names": names, "points": rows, "chosen": chosen, "oracle": oracle}
