"""The student's epochs on the stored samples, for all seeds and all points of
the grid.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.data.labels import class_counts, labels_of
from jaxkd.pipeline import grid
from jaxkd.pipeline.exchange import RunState
from jaxkd.pipeline.grid import GridPoint
from jaxkd.runtime import keys, processes
from jaxkd.runtime.keys import Purpose
from jaxkd.teachers.access import TeacherHandle
from jaxkd.training import fit, optimisers
from jaxkd.training.step import EpochInputs, TrainConfig, TrainState, init_state
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Array, Classifier, LossContext, Samples


def run_pre_student_stage(
  run: Any, access: TeacherHandle, samples: Samples
) -> tuple[Classifier | None, Samples]:
  """Whom the student follows where each view is answered, and its samples.

  That is the teacher and what it answered, unless the method trains something
  else first.
  """
  teacher = access.classifier if access.oracle.access == "white_box" else None
  stage = run.method.pre_student_stage
  if stage is None:
    return teacher, samples
  if not run.method.relabel_views:
    teacher = None
  trainer = Trainer(
    run.config[stage.block],
    run.dataset.spec,
    Samples(samples.images, samples.labels),
    held_out=jax.tree.map(lambda leaf: leaf[:0], samples),
    key=run.member_key,
    workdir=run.workdir,
    metrics=run.metrics,
    role=stage.block,
  )
  return stage.run(trainer, teacher, samples)


def train_students(
  run: Any,
  guide: Classifier | None,
  fresh: list[Classifier],
  play: RunState,
  samples: Samples,
) -> list[GridPoint]:
  """The students after all epochs, at each point of the grid.

  They start afresh: one that learned in the rounds bears the marks of the few
  images that there were at first. Without epochs it is the student.

  Args:
    run: a `jaxkd.pipeline.distill.Run`.
    guide: whom they follow where each view is answered.
    fresh: a student per seed.
    play: after the last round.
    samples: to train on.
  """
  if not run.config.student.epochs:
    finished = fresh[0].replace(variables=play.student.variables)
    return [GridPoint(run.method.hyper, [finished])]
  hypers = grid.expand_grid(run.config.grid, run.method)
  places = [(hyper, student) for hyper in hypers for student in fresh]
  recipe, batch_size = _recipe(run, fresh[0], len(samples.labels))
  guide = guide if recipe.per_view else None
  size = _at_once(run, recipe, places[0], samples, batch_size, guide)
  size = size or len(places)
  trained: list[Classifier] = []
  for start in range(0, len(places), size):
    stage = f"student_{start}" if start else "student"
    some = places[start : start + size]
    trained += _train(
      run, stage, recipe, start, some, samples, batch_size, guide
    )
  seeds = len(fresh)
  return [
    GridPoint(hyper, trained[index * seeds : (index + 1) * seeds])
    for index, hyper in enumerate(hypers)
  ]


def _recipe(
  run: Any, student: Classifier, count: int
) -> tuple[TrainConfig, int]:
  block = run.config.student
  batch_size = fit.check_batch_size(
    block.batch_size, count, "student.batch_size"
  )
  tx = optimisers.optimiser(block.optimizer, count // batch_size, block.epochs)
  recipe = TrainConfig(
    models.with_compute_dtype(student, run.config.compute_dtype).apply,
    tx,
    run.method.objective,
    tuple(block.augment),
    per_view=run.method.relabel_views,
    synchronized=block.batch_norm == "synchronized",
  )
  return recipe, batch_size


def _at_once(
  run: Any,
  recipe: TrainConfig,
  place: tuple[dict[str, float], Classifier],
  samples: Samples,
  batch_size: int,
  guide: Classifier | None,
) -> int:
  """How many students train together; 0: all."""
  count = run.config.student.at_once
  if count:
    return count
  hyper, student = place
  labels = labels_of(samples)
  counts = class_counts(labels, run.dataset.spec.num_classes)
  lesson = EpochInputs(_traced(hyper), LossContext(jnp.int32(0), counts),
    jax.random.key(0), guide)  # fmt: skip
  slice_size = batch_size // jax.device_count()
  batch = jax.tree.map(lambda leaf: leaf[:slice_size], samples)
  state = init_state(student, recipe.tx)
  alone = recipe._replace(synchronized=False)
  return processes.broadcast(grid.at_once(alone, state, batch, lesson) or 0)


def _traced(hyper: dict[str, float]) -> dict[str, Array]:
  return {name: jnp.float32(value) for name, value in hyper.items()}


def _train(
  run: Any,
  stage: str,
  recipe: TrainConfig,
  start: int,
  places: list[tuple[dict[str, float], Classifier]],
  samples: Samples,
  batch_size: int,
  guide: Classifier | None,
) -> list[Classifier]:
  hypers, fresh = zip(*places, strict=True)
  states = [init_state(student, recipe.tx) for student in fresh]
  states: TrainState = fit.fit(
    stage,
    recipe,
    jax.tree.map(lambda *rows: jnp.stack(rows), *states),
    samples,
    epochs=run.config.student.epochs,
    batch_size=batch_size,
    num_classes=run.dataset.spec.num_classes,
    hyper=jax.tree.map(lambda *values: jnp.float32(values), *hypers),
    key=keys.fold(run.student_key, Purpose.EPOCHS),
    first=start,
    teacher=guide,
    workdir=run.workdir,
    metrics=run.metrics,
    hint="student.optimizer.learning_rate",
  )
  return [
    student.replace(
      variables=jax.tree.map(lambda leaf, i=i: leaf[i], states.variables)
    )
    for i, student in enumerate(fresh)
  ]
