"""`distill` copies a teacher into a student; it tells what a run does, in
order.
"""

from pathlib import Path
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxkd import data
from jaxkd.data import Dataset
from jaxkd.evaluation import image_checks, run_warnings, sanity_checks
from jaxkd.pipeline import (
  grid,
  hosts,
  initial_weights,
  logit_scale,
  results,
  rounds,
  scores,
  students,
)
from jaxkd.pipeline.setup import Setup, setup as make_setup
from jaxkd.pipeline.teacher import make_teacher
from jaxkd.report import writer
from jaxkd.runtime import processes, run_folder
from jaxkd.runtime.environment import environment
from jaxkd.runtime.keys import Stream
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.teachers.access import open_teacher
from jaxkd.teachers.function_teacher import BlackBoxFunction
from jaxkd.training import sample_store
from jaxkd.types import Array, Classifier, Samples


def distill(
  classifier: Classifier | BlackBoxFunction | None,
  config: ConfigDict,
  workdir: str | Path | None = None,
  *,
  dataset: Dataset | None = None,
) -> tuple[Classifier, dict[str, Any]]:
  """Copies a classifier into a student.

  It uses the devices that JAX has. On a CPU that is one, unless the environment
  says more before JAX starts: `JAX_NUM_CPU_DEVICES=4 NPROC=16` for four cores.

  Args:
    classifier: the teacher, e.g. from `jaxkd.from_linen`, or a function that
      answers, from `jaxkd.black_box`; None takes the one that the config
      describes. `config.teacher.access` says how much of it the method may use.
    config: from `jaxkd.load_config("configs/cake.py")`.
    workdir: where checkpoints and the report go; None: a folder under `runs/`
      that is named after the config. The same folder goes on where it stopped.
    dataset: what inputs look like and what to evaluate on; None takes the one
      that the config names.

  Returns:
    The student (of the first seed) and the report, as in `report.json`.

  Raises:
    JaxkdError: for wrong input, in one or two lines.
    Preempted: after a signal, with everything saved.
  """
  with processes.raise_on_all():
    setup = make_setup(config, classifier, dataset)
    dataset = dataset or load_data(setup)
    teacher_warnings = []
    if setup.teacher is not None:
      teacher_warnings = sanity_checks.check_teacher(setup.teacher, setup.spec)
      sanity_checks.warn(teacher_warnings)
  hosts.check(setup.config, dataset)
  origin = environment()  # before the checkout can change beside the run
  with (
    run_folder.lock_workdir(
      workdir,
      setup.record(),
      name=f"{setup.config.method}-{setup.config.dataset}",
      resolved=setup.config,
    ) as folder,
    MetricsWriter(
      folder,
      tensorboard=setup.config.tensorboard,
      profile=setup.config.profile.steps,
    ) as metrics,
  ):
    began = time.monotonic() - sum(results.stage_seconds(metrics).values())

    # 1. The teacher, and its defence.
    pair = make_teacher(setup, dataset, folder, metrics)
    published = pair and pair.published
    visible, scale = logit_scale.visible_teacher(setup, published)
    with open_teacher(
      setup.config,
      dataset,
      setup.method,
      folder,
      visible,
      setup.black_box,
    ) as teacher:
      # 2. Rounds: make images, ask the teacher, store the answers.
      fresh = initial_weights.init_students(setup, visible)
      made = rounds.run_rounds(
        setup, teacher, fresh[0], dataset, folder, metrics
      )
      students.discard_stale_student(folder, metrics, made.images)
      train, held_out = split(setup, sample_store.filled(made.run.store))

      # 3. Students, at each point of the grid.
      effective_teacher, train = students.run_pre_student_stage(
        setup, teacher, train, folder, metrics
      )
      fresh = initial_weights.start_students(
        setup, visible, fresh, train.images
      )
      points = students.train_students(
        setup, effective_teacher, fresh, made.run, train, folder, metrics
      )
      chosen, validation = grid.choose(
        points, held_out, real=bool(setup.method.real_images)
      )

      # 4. Evaluation.
      grid_summary = grid.summary(points, chosen, validation, dataset)
      trained, teacher, held_out, scale_warnings = logit_scale.give_back(
        setup, points[chosen].students, teacher, published, scale, held_out
      )
      report = results.build_report(
        setup, teacher, trained, dataset, held_out, made, grid_summary, metrics,
        origin,
      )  # fmt: skip
      report["seconds"]["total"] = time.monotonic() - began
      report["teacher"]["scale"] = scale and scale._asdict()
      report["defense"] = scores.evaluate_defense(setup, pair, dataset)
      report["guide"] = scores.evaluate_effective_teacher(
        setup, effective_teacher, pair, dataset
      )
      report["warnings"] = [
        *teacher_warnings,
        *scale_warnings,
        *image_checks.variety_warnings(
          train, setup.spec.num_classes, setup.values
        ),
        *run_warnings.find(report, setup.spec.num_classes, setup.method.rounds),
      ]

    # 5. The student and the report.
    path = folder / "student.safetensors"
    weights.save(path, trained[0], setup.spec, setup.config.student.model)
    with processes.raise_on_all():
      if processes.is_primary():
        writer.write_report(
          folder, report, dataset, teacher.classifier, trained[0], train
        )
  return trained[0], report


def load_data(setup: Setup) -> Dataset:
  """The data that the config names."""
  return data.find(
    setup.user_config.dataset,
    image_size=setup.user_config.image_size,
    teacher=setup.teacher_spec,
    class_names=setup.class_names,
    background=setup.config.background,
  )


def split(setup: Setup, samples: Samples) -> tuple[Samples, Samples]:
  """Divides samples at random into those to train on and a held-out rest.

  Nothing is held out where the student was trained in the rounds alone.
  """
  count, block = len(samples.labels), setup.config.student
  share = block.validation_fraction if block.epochs else 0
  order = jax.random.permutation(setup.key(Stream.HOLDOUT), count)
  cut = count - round(share * count)

  def rows(indices: Array) -> Samples:
    return jax.tree.map(lambda leaf: leaf[indices], samples)

  return rows(order[:cut]), rows(order[cut:])
