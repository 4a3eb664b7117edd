"""What a run found: measurements, and the report in all its forms."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp

from jaxkd.data import to_float
from jaxkd.data.labels import hard_labels
from jaxkd.report.page import write_html
from jaxkd.report.summary import summary
from jaxkd.runtime.files import write_json
from jaxkd.runtime.metrics import read_metrics
from jaxkd.types import Array, Classifier, Samples


def write_report(
  folder: Path,
  report: dict[str, Any],
  dataset: Any,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> None:
  """Writes the figures, `report.json` and `report.html`; prints the summary."""
  drawn = draw(folder, dataset, teacher, student, samples)
  if report["queries"]["curve"]:
    drawn.insert(0, folder / "queries.png")
    from jaxkd.report import audit_figure  # matplotlib is slow to import

    audit_figure.queries_figure(
      drawn[0], report["queries"]["curve"], report["teacher"]["accuracy"]
    )
  write_json(folder / "report.json", report)
  write_html(folder / "report.html", report, drawn)
  print(f"\n{summary(report)}\nreport      {folder / 'report.html'}")


def display_labels(samples: Samples) -> Array:
  """The class meant, or the teacher's answer where none was."""
  answers = hard_labels(samples.targets)
  return jnp.where(samples.labels < 0, answers, samples.labels)


def draw(
  folder: Path,
  dataset: Any,
  teacher: Classifier | None,
  student: Classifier,
  samples: Samples,
) -> list[Path]:
  """The figures that suit the data: boundary or images, then the curves."""
  from jaxkd.report import figures  # matplotlib is slow to import

  drawn, spec = [], dataset.spec
  if spec.shape == (2,) and teacher is not None:
    drawn.append(folder / "decision_boundary.png")
    real = dataset.test_images if len(dataset.test_labels) else None
    figures.decision_boundary_figure(
      drawn[-1], teacher, student, samples.images, samples.labels, real
    )
  elif len(spec.shape) == 3:
    drawn.append(folder / "samples.png")
    figures.samples_figure(
      drawn[-1],
      to_float(samples.images),
      display_labels(samples),
      samples.extras.get("step_size"),
      spec.num_classes,
    )
  drawn.append(folder / "curves.png")
  figures.curves_figure(drawn[-1], read_metrics(folder))
  return drawn
