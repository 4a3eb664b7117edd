"""The epochs of a run's students on the stored samples, for all seeds and all
points of the grid.
"""

from pathlib import Path
import shutil

import jax
import jax.numpy as jnp

from jaxkd import models
from jaxkd.data.labels import class_counts, labels_of
from jaxkd.pipeline import exchange, grid
from jaxkd.pipeline.exchange import RunState
from jaxkd.pipeline.grid import GridPoint
from jaxkd.pipeline.setup import Setup, as_arrays
from jaxkd.runtime import buckets, compile_target, processes
from jaxkd.runtime.files import write_text
from jaxkd.runtime.keys import Purpose, Stream
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.access import TeacherHandle
from jaxkd.training import fit, optimisers
from jaxkd.training.step import EpochInputs, TrainConfig, init_state
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Classifier, LossContext, Samples

# The numbers of the objective, and the student that is trained with them.
Trainee = tuple[dict[str, float], Classifier]


def run_pre_student_stage(
  setup: Setup,
  teacher: TeacherHandle,
  samples: Samples,
  workdir: Path,
  metrics: MetricsWriter,
) -> tuple[Classifier | None, Samples]:
  """The network that answers every view for the student, and the student's
  samples.

  These are the teacher (None if it is no white box) and the samples as given,
  unless the method trains something else first.
  """
  white_box = teacher.oracle.access == "white_box"
  classifier = teacher.classifier if white_box else None
  stage = setup.method.pre_student_stage
  if stage is None:
    return classifier, samples
  if not setup.method.relabel_views:
    classifier = None
  trainer = Trainer(
    setup.config[stage.block],
    setup.spec,
    Samples(samples.images, samples.labels),
    held_out=jax.tree.map(lambda leaf: leaf[:0], samples),
    key=setup.key(Stream.MEMBERS),
    workdir=workdir,
    metrics=metrics,
    role=stage.block,
  )
  return stage.run(trainer, classifier, samples)


def train_students(
  setup: Setup,
  teacher: Classifier | None,
  fresh: list[Classifier],
  run: RunState,
  samples: Samples,
  workdir: Path,
  metrics: MetricsWriter,
) -> list[GridPoint]:
  """The trained students, at each point of the grid.

  A student that was trained in the rounds is biased to the early samples, so
  a new one is initialised. Without epochs it is the student.

  Args:
    setup: of the run.
    teacher: the network that answers every view, where the method wants that.
    fresh: a student with initial weights for each seed.
    run: the state after the last round.
    samples: to train on.
    workdir: for checkpoints.
    metrics: of the run.
  """
  if not setup.config.student.epochs:
    variables = exchange.student_variables(setup.method, run)
    trained = fresh[0].replace(variables=variables)
    return [GridPoint(setup.method.hyper, [trained])]
  points = grid.expand_grid(setup.config.grid, setup.method)
  trainees = [(hyper, student) for hyper in points for student in fresh]
  train_config, batch_size = train_config_of(setup, fresh[0], samples)
  teacher = teacher if train_config.per_view else None
  size = setup.config.student.at_once or _num_that_fit(
    setup, train_config, trainees[0], samples, batch_size, teacher
  )
  size = size or len(trainees)
  students: list[Classifier] = []
  for first in range(0, len(trainees), size):
    some = trainees[first : first + size]
    states = [init_state(student, train_config.tx) for _, student in some]
    states = fit.fit(
      f"student_{first}" if first else "student",
      train_config,
      jax.tree.map(lambda *rows: jnp.stack(rows), *states),
      samples,
      epochs=setup.config.student.epochs,
      batch_size=batch_size,
      num_classes=setup.spec.num_classes,
      hyper=jax.tree.map(
        lambda *values: jnp.float32(values), *(hyper for hyper, _ in some)
      ),
      key=setup.key(Stream.STUDENT, Purpose.EPOCHS),
      first=first,
      teacher=teacher,
      workdir=workdir,
      metrics=metrics,
      hint="student.optimizer.learning_rate",
    )
    students += [
      student.replace(
        variables=jax.tree.map(lambda leaf, i=i: leaf[i], states.variables)
      )
      for i, (_, student) in enumerate(some)
    ]
  seeds = len(fresh)
  return [
    GridPoint(hyper, students[index * seeds : (index + 1) * seeds])
    for index, hyper in enumerate(points)
  ]


def train_config_of(
  setup: Setup, student: Classifier, samples: Samples
) -> tuple[TrainConfig, int]:
  """How the students are trained, and the size of their batches."""
  block, count = setup.config.student, len(samples.labels)
  batch_size = fit.check_batch_size(
    block.batch_size, count, "student.batch_size"
  )
  tx = optimisers.optimiser(block.optimizer, count // batch_size, block.epochs)
  dtype = setup.config.compute_dtype
  train_config = TrainConfig(
    models.with_compute_dtype(student, dtype).apply,
    tx,
    setup.method.objective,
    tuple(block.augment),
    per_view=setup.method.relabel_views,
    synchronized=block.batch_norm == "synchronized",
  )
  return train_config, batch_size


def _num_that_fit(
  setup: Setup,
  train_config: TrainConfig,
  trainee: Trainee,
  samples: Samples,
  batch_size: int,
  teacher: Classifier | None,
) -> int:
  """How many students fit into a device's memory; 0: all, as far as known."""
  hyper, student = trainee
  counts = class_counts(labels_of(samples), setup.spec.num_classes)
  inputs = EpochInputs(
    as_arrays(hyper),
    LossContext(jnp.int32(0), counts),
    jax.random.key(0),
    teacher,
  )
  slice_size = batch_size // compile_target.device_count()
  batch = jax.tree.map(lambda leaf: leaf[:slice_size], samples)
  state = init_state(student, train_config.tx)
  alone = train_config._replace(synchronized=False)
  return processes.broadcast(grid.at_once(alone, state, batch, inputs) or 0)


def discard_stale_student(
  workdir: Path, metrics: MetricsWriter, images: int
) -> None:
  """Discards students and ensembles that were trained on fewer images, before
  the budget was raised.
  """
  folder = workdir / "checkpoints"
  note = folder / "student_images"
  if processes.broadcast(note.exists() and note.read_text() != str(images)):
    if processes.is_primary():
      for stage in (*folder.glob("student*/"), *folder.glob("committee*/")):
        shutil.rmtree(stage, ignore_errors=True)
      for member in workdir.glob("committee*.safetensors"):
        member.unlink()
      buckets.delete(folder, "student*/*")
      buckets.delete(folder, "committee*/*")
      buckets.delete(workdir, "committee*.safetensors")
    metrics.truncate_after("student", 0)
  with processes.raise_on_all():
    if processes.is_primary():
      write_text(note, str(images))
