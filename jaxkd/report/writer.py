"""Writes the report of a run: figures, JSON, HTML page and summary."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp

from jaxkd.data import Dataset, to_float
from jaxkd.data.labels import hard_labels
from jaxkd.report.page import write_html
from jaxkd.report.summary import summary
from jaxkd.runtime import buckets
from jaxkd.runtime.files import write_json
from jaxkd.runtime.metrics import read_metrics
from jaxkd.types import Array, Classifier, Samples


def write_report(
  folder: Path,
  report: dict[str, Any],
  dataset: Dataset,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> None:
  """Writes the figures, `report.json` and `report.html`; prints the summary."""
  figures = draw(folder, dataset, teacher, student, samples)
  if report["queries"]["curve"]:
    figures.insert(0, folder / "queries.png")
    from jaxkd.report import audit_figure  # matplotlib is slow to import

    audit_figure.queries_figure(
      figures[0], report["queries"]["curve"], report["teacher"]["accuracy"]
    )
  classes = report.get("classes")
  if classes and classes["confusion"]:
    figures.append(folder / "confusion.png")
    from jaxkd.report import confusion_figure

    confusion_figure.confusion_figure(figures[-1], classes["confusion"])
  write_json(folder / "report.json", report)
  write_html(folder / "report.html", report, figures)
  page = buckets.shown(folder / "report.html")
  print(f"\n{summary(report)}\nreport      {page}")


def display_labels(samples: Samples) -> Array:
  """Returns each image's target class, or the teacher's label without one."""
  answers = hard_labels(samples.targets)
  return jnp.where(samples.labels < 0, answers, samples.labels)


def draw(
  folder: Path,
  dataset: Dataset,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> list[Path]:
  """Draws the boundary of points or the images, and the curves of metrics."""
  from jaxkd.report import figures  # matplotlib is slow to import

  paths, spec = [], dataset.spec
  if spec.shape == (2,) and teacher is not None:
    paths.append(folder / "decision_boundary.png")
    real = dataset.test_images if len(dataset.test_labels) else None
    figures.decision_boundary_figure(
      paths[-1], teacher, student, samples.images, samples.labels, real
    )
  elif len(spec.shape) == 3:
    paths.append(folder / "samples.png")
    figures.samples_figure(
      paths[-1],
      to_float(samples.images),
      display_labels(samples),
      samples.extras.get("step_size"),
      spec.num_classes,
    )
  paths.append(folder / "curves.png")
  figures.curves_figure(paths[-1], read_metrics(folder))
  return paths
