"""What came of a run, on data that nothing before it has looked at."""

import time
from typing import Any

import numpy as np

from jaxkd.data import Dataset
from jaxkd.evaluation import accuracy as evaluate, data_free_metrics
from jaxkd.evaluation.network_costs import measure
from jaxkd.runtime import memory
from jaxkd.runtime.environment import environment
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.teachers.access import TeacherHandle
from jaxkd.types import Classifier, Samples

STAGES = ("teacher", "synthesis", "student")
SHARED = {"defense": "teacher", "member": "student", "committee": "student"}


def build_report(
  run: Any,
  access: TeacherHandle,
  students: list[Classifier],
  held_out: Samples,
  played: Any,
  graded: dict[str, Any] | None = None,
) -> dict[str, Any]:
  """The report; test data is looked at here and, where `queries.marks` asks
  for a curve, while the budget is spent, and chooses nothing.

  Args:
    run: a `jaxkd.pipeline.distill.Run`.
    access: to the teacher.
    students: one per seed.
    held_out: synthetic samples that no student was trained on.
    played: a `jaxkd.pipeline.distill.SynthesisResult`.
    graded: the `jaxkd.pipeline.grid.summary`; None without a grid.
  """
  config, method, spec = run.config, run.method, run.dataset.spec
  signs = [
    data_free_metrics.measure(
      held_out.targets, student, held_out, spec.num_classes
    )
    for student in students
  ]
  judged = [
    evaluate_student(run.dataset, access, student)
    | {"synthetic_agreement": sign["agreement"]}
    for student, sign in zip(students, signs, strict=True)
  ]
  accuracies = [each["accuracy"] for each in judged]
  many = len(students) > 1 and accuracies[0] is not None
  seconds = stage_seconds(run.metrics)
  synthesis_s = run.metrics.seconds("synthesis")
  seconds["total"] = time.monotonic() - run.began
  image_steps = played.images * method.steps
  return {
    "method": config.method,
    "adaptation": config.adaptation.name,
    "dataset": spec.name,
    "teacher": evaluate_teacher(run.dataset, access),
    "student": {
      **measure(students[0], spec),
      **{name: mean([each[name] for each in judged]) for name in judged[0]},
      "accuracy_std": float(np.std(accuracies, ddof=1)) if many else None,
      "accuracies": accuracies,
      "seeds": len(students),
    },
    "data_free": {
      "samples": len(held_out.labels),
      **{name: mean([each[name] for each in signs]) for name in signs[0]},
      "predicted": prediction_quality(run.dataset, judged, graded),
    },
    "synthesis": {
      "images": played.images,
      "steps": method.steps,
      "image_steps_per_s": image_steps / synthesis_s if image_steps else None,
      "seconds": synthesis_s,
      "compile_seconds": run.metrics.seconds("synthesis", "compile_seconds"),
    },
    "queries": {
      **access.query_summary(),
      "curve": query_curve(run.metrics, played.queries, judged[0]),
      "ended": played.ended,
    },
    "seconds": seconds,
    "memory": stage_memory(run.metrics),
    "config": config.to_dict(),
    **environment(),
  }


def evaluate_teacher(data: Dataset, access: TeacherHandle) -> dict[str, Any]:
  """What is known of the teacher; None where it is not ours to look into."""
  if access.classifier is not None:
    measured = measure(access.classifier, data.spec)
    accuracy = test_accuracy(access.classifier, data)
  else:
    fields = ("parameters", "bytes", "flops", "latency_ms")
    measured = {"model": access.name, **dict.fromkeys(fields)}
    accuracy = None
    if access.test_labels is not None:
      accuracy = float(np.mean(access.test_labels == data.test_labels))
  return {**measured, "accuracy": accuracy}


def evaluate_defense(run: Any, owned: Any) -> dict[str, Any] | None:
  """What a defence costs, and how far it leads away from the normal teacher:
  KL(published || normal) on test data, in nats; None without a defence.

  Args:
    run: a `jaxkd.pipeline.distill.Run`.
    owned: a `jaxkd.pipeline.teacher.TeacherPair`.
  """
  if owned is None or owned.normal is None:
    return None
  data, block = run.dataset, run.config.teacher.defense
  return {
    **block.to_dict(),
    "normal_accuracy": test_accuracy(owned.normal, data),
    "kl_to_normal": kl_to_normal(owned.published, owned.normal, data),
  }


def evaluate_effective_teacher(
  run: Any, guide: Any, owned: Any
) -> dict[str, Any] | None:
  """How good whatever the method put in the teacher's place is, and how far
  from the normal teacher; None where the student follows the teacher.
  """
  if run.method.pre_student_stage is None or guide is None:
    return None
  normal = owned.normal or owned.published
  return {
    "name": guide.name,
    "accuracy": test_accuracy(guide, run.dataset),
    "kl_to_normal": kl_to_normal(guide, normal, run.dataset),
  }


def kl_to_normal(
  model: Classifier, normal: Classifier, data: Dataset
) -> float | None:
  """The mean of KL(model || normal) on test data, in nats (table 3 of Jandial
  et al., ECCV 2022, which does not say which way round).
  """
  if not len(data.test_labels):
    return None
  return evaluate.evaluate(
    normal, data.test_images, data.test_labels, teacher=model
  )["kl"]


def evaluate_student(
  data: Dataset, access: TeacherHandle, student: Classifier
) -> dict[str, float | None]:
  """How well a student follows the teacher on test data; None where there is
  no such data.
  """
  result = on_test_data(data, access, student)
  return {name: result.get(name) for name in ("accuracy", "agreement", "kl")}


def prediction_quality(
  data: Dataset,
  judged: list[dict[str, float | None]],
  graded: dict[str, Any] | None,
) -> dict[str, float | None] | None:
  """The `jaxkd.evaluation.data_free_metrics.prediction` of test data by held-
  out samples; None without test data.

  Args:
    data: of the run.
    judged: of each seed, with its `synthetic_agreement`.
    graded: the points of a grid, which are ranked instead of the seeds.
  """
  if not len(data.test_labels):
    return None
  names = ("synthetic_agreement", "accuracy")
  ranked = judged
  if graded is not None:
    ranked, names = graded["points"], ("validation", "accuracy")
  return data_free_metrics.prediction(
    mean([each["synthetic_agreement"] for each in judged]),
    mean([each["agreement"] for each in judged]),
    [tuple(each[name] for name in names) for each in ranked],
  )


def on_test_data(
  data: Dataset, access: TeacherHandle, student: Classifier
) -> dict[str, float]:
  """Accuracy, and agreement and KL as far as the teacher's answers are known;
  nothing without test data.
  """
  if not len(data.test_labels):
    return {}
  result = evaluate.evaluate(
    student, data.test_images, data.test_labels, teacher=access.classifier
  )
  if access.test_labels is not None:
    same = evaluate.evaluate(student, data.test_images, access.test_labels)
    result["agreement"] = same["accuracy"]
  return result


def test_accuracy(classifier: Classifier, data: Dataset) -> float | None:
  """Accuracy on the test split; None if there is none."""
  if not len(data.test_labels):
    return None
  return evaluate.evaluate(classifier, data.test_images, data.test_labels)[
    "accuracy"
  ]


def query_curve(
  metrics: MetricsWriter, queries: int, judged: dict[str, float | None]
) -> list[dict[str, Any]]:
  """Accuracy and agreement of the student in the rounds, as the budget was
  spent; the finished student is the last point.
  """
  names = ("queries", "accuracy", "agreement")
  points = [
    {name: record.get(name) for name in names}
    for record in metrics.records("queries")
  ]
  if points:
    points.append({"queries": queries} | {n: judged[n] for n in names[1:]})
  return points


def stage_seconds(metrics: MetricsWriter) -> dict[str, float]:
  """Seconds so far, compilation and earlier parts included: those of a defence
  are the teacher's, those of an attacker's members the student's.
  """
  seconds = dict.fromkeys(STAGES, 0.0)
  for stage in metrics.stages():
    spent = metrics.seconds(stage) + metrics.seconds(stage, "compile_seconds")
    kind = _kind(stage)
    if kind in seconds:
      seconds[kind] += spent
  return seconds


def stage_memory(metrics: MetricsWriter) -> dict[str, Any]:
  """The most bytes in use up to the end of each stage, see
  `jaxkd.runtime.memory`, and whose; None for a stage in which nothing was done.
  """
  found = {"of": memory.memory_scope(), **dict.fromkeys(STAGES)}
  for stage in metrics.stages():
    peaks = [record.get("peak_bytes") or 0 for record in metrics.records(stage)]
    kind = _kind(stage)
    if kind in STAGES:
      found[kind] = max([found[kind] or 0, *peaks]) or None
  return found


def _kind(stage: str) -> str:
  kind = stage.partition("_")[0]
  return SHARED.get(kind, kind)


def mean(values: list[float | None]) -> float | None:
  """The mean; None if there is nothing to average."""
  return None if None in values else float(np.mean(values))
