"""The report of a run, as `report.json` has it."""

from typing import Any

import numpy as np

from jaxkd.data import Dataset
from jaxkd.evaluation import data_free_metrics
from jaxkd.evaluation.accuracy import interval, num_answered
from jaxkd.evaluation.classes import class_scores
from jaxkd.evaluation.network_costs import measure
from jaxkd.pipeline import scores
from jaxkd.pipeline.rounds import SynthesisResult
from jaxkd.pipeline.setup import Setup
from jaxkd.runtime import profiling
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.access import TeacherHandle
from jaxkd.types import Classifier, Samples

STAGES = ("teacher", "synthesis", "student")
# Stages of these kinds count as one of `STAGES`.
PART_OF = {"defense": "teacher", "member": "student", "committee": "student"}


def build_report(
  setup: Setup,
  teacher: TeacherHandle,
  students: list[Classifier],
  dataset: Dataset,
  held_out: Samples,
  made: SynthesisResult,
  grid_summary: dict[str, Any] | None,
  metrics: MetricsWriter,
  origin: dict[str, Any],
) -> dict[str, Any]:
  """Evaluates teacher and students and gathers what a run has measured.

  Test data is evaluated on here and, where `queries.eval_at` asks for a curve,
  during the rounds; it chooses nothing.

  Args:
    setup: of the run.
    teacher: the teacher.
    students: one per seed.
    dataset: its test part is evaluated on.
    held_out: synthetic samples that no student was trained on.
    made: what the rounds led to.
    grid_summary: from `jaxkd.pipeline.grid.summary`; None without a grid.
    metrics: of the run.
    origin: from `jaxkd.runtime.environment`, when the run was started.
  """
  config, spec = setup.config, setup.spec
  without_data = [
    data_free_metrics.measure(
      held_out.targets, student, held_out, spec.num_classes
    )
    for student in students
  ]
  predictions = [
    scores.predict_test_data(dataset, teacher, student) for student in students
  ]
  on_test = [
    scores.score_student(dataset, predicted)
    | {"synthetic_agreement": measured["agreement"]}
    for predicted, measured in zip(predictions, without_data, strict=True)
  ]
  means, num_test = mean_of_each(on_test), len(dataset.test_labels)
  classes = None
  if predictions[0] is not None:
    classes = class_scores(
      predictions[0], dataset.test_labels, spec.num_classes
    )
  accuracies = [each["accuracy"] for each in on_test]
  several = len(students) > 1 and accuracies[0] is not None
  synthesis_s = metrics.seconds("synthesis")
  image_steps = made.images * setup.method.steps
  # No seconds are known where metrics.jsonl was deleted.
  speed = image_steps / synthesis_s if image_steps and synthesis_s else None
  return {
    "method": config.method,
    "adaptation": config.adaptation.name,
    "dataset": spec.name,
    "test_images": num_test,
    "teacher": scores.evaluate_teacher(dataset, teacher, predictions[0]),
    "student": {
      **measure(students[0], spec),
      "start": config.student.start,
      **means,
      "accuracy_interval": interval(means["accuracy"], num_test),
      "agreement_interval": interval(
        means["agreement"], num_answered(predictions[0])
      ),
      "accuracy_std": float(np.std(accuracies, ddof=1)) if several else None,
      "accuracies": accuracies,
      "seeds": len(students),
    },
    "classes": classes,  # of the first student
    "data_free": {
      "samples": len(held_out.labels),
      **mean_of_each(without_data),
      "predicted": prediction_quality(dataset, on_test, grid_summary),
    },
    "synthesis": {
      "images": made.images,
      "steps": setup.method.steps,
      "image_steps_per_s": speed,
      "seconds": synthesis_s,
      "compile_seconds": metrics.seconds("synthesis", "compile_seconds"),
    },
    "queries": {
      **teacher.query_summary(),
      "curve": query_curve(metrics, made.queries, on_test[0], num_test),
      "ended": made.ended,
    },
    "seconds": stage_seconds(metrics),
    "memory": stage_memory(metrics),
    "grid": grid_summary,
    "config": config.to_dict(),
    **origin,
  }


def prediction_quality(
  dataset: Dataset,
  on_test: list[dict[str, float | None]],
  grid_summary: dict[str, Any] | None,
) -> dict[str, float | None] | None:
  """How well held-out synthetic samples predict what test data say, see
  `jaxkd.evaluation.data_free_metrics.prediction`; None without test data.

  Args:
    dataset: of the run.
    on_test: of each seed, with its `synthetic_agreement`.
    grid_summary: its points are ranked in place of the seeds.
  """
  if not len(dataset.test_labels):
    return None
  names = ("synthetic_agreement", "accuracy")
  ranked = on_test
  if grid_summary is not None:
    ranked, names = grid_summary["points"], ("validation", "accuracy")
  return data_free_metrics.prediction(
    mean([each["synthetic_agreement"] for each in on_test]),
    mean([each["agreement"] for each in on_test]),
    [tuple(each[name] for name in names) for each in ranked],
  )


def query_curve(
  metrics: MetricsWriter,
  queries: int,
  final: dict[str, float | None],
  num_test: int,
) -> list[dict[str, Any]]:
  """Accuracy and agreement of the student in the rounds, as the budget was
  spent, with their intervals; the finished student is the last point.

  Args:
    metrics: of the run.
    queries: that were made in all.
    final: scores of the finished student.
    num_test: number of test images.
  """
  names = ("queries", "accuracy", "agreement")
  points = [
    {name: record.get(name) for name in names}
    for record in metrics.records("queries")
  ]
  if points:
    points.append({"queries": queries} | {n: final[n] for n in names[1:]})
  for point in points:
    for name in names[1:]:
      point[f"{name}_interval"] = interval(point[name], num_test)
  return points


def stage_seconds(metrics: MetricsWriter) -> dict[str, float]:
  """Seconds of each stage, with compilation and earlier parts of the run; a
  defence counts as teacher, an attacker's ensemble as student.
  """
  seconds = dict.fromkeys(STAGES, 0.0)
  for stage in metrics.stages():
    spent = metrics.seconds(stage) + metrics.seconds(stage, "compile_seconds")
    kind = _kind(stage)
    if kind in seconds:
      seconds[kind] += spent
  return seconds


def stage_memory(metrics: MetricsWriter) -> dict[str, Any]:
  """The most bytes in use up to the end of each stage, and whose memory it is
  (`jaxkd.runtime.profiling`); None for a stage in which nothing was done.
  """
  peaks = {"of": profiling.memory_scope(), **dict.fromkeys(STAGES)}
  for stage in metrics.stages():
    kind = _kind(stage)
    if kind in STAGES:
      records = metrics.records(stage)
      stage_peaks = [record.get("peak_bytes") or 0 for record in records]
      peaks[kind] = max([peaks[kind] or 0, *stage_peaks]) or None
  return peaks


def _kind(stage: str) -> str:
  kind = stage.partition("_")[0]
  return PART_OF.get(kind, kind)


def mean_of_each(rows: list[dict[str, float | None]]) -> dict[str, Any]:
  """The mean over the rows, for each name."""
  return {name: mean([row[name] for row in rows]) for name in rows[0]}


def mean(values: list[float | None]) -> float | None:
  """The mean; None if a value is missing."""
  return None if None in values else float(np.mean(values))
