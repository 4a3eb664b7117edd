"""The report as one HTML file that needs nothing else."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from jaxkd.evaluation import audit
from jaxkd.report import html, summary
from jaxkd.runtime.files import to_json

CAPTIONS = {
  "samples": "Images the student learned from, one row per class, from large "
  "to small step sizes. The contrast of every image is stretched.",
  "decision_boundary": "The teacher's classes, the points the student learned "
  "from, and the student's boundary.",
  "queries": "The student as the budget was spent. The bands are OWASP's, for "
  "agreement with the teacher.",
  "curves": "Losses and terms over the run; bands span the seeds.",
}


def write_html(
  path: Path, report: dict[str, Any], figures: Sequence[Path]
) -> None:
  """Writes the report as one HTML file, with the figures inside.

  Args:
    path: of the file.
    report: as in `report.json`; accuracies may be None.
    figures: PNG files, in the order in which they are shown.
  """
  html.write(
    path,
    html.TEMPLATES / "report.html",
    report=report,
    config=json.dumps(to_json(report["config"]), indent=2, ensure_ascii=False),
    figures=figures,
    captions=CAPTIONS,
    words=summary,
    audit=audit,
  )
