"""The report of a run as one HTML file that needs no other file."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from jaxkd.evaluation import audit
from jaxkd.report import classes, html, summary
from jaxkd.runtime.files import to_json

CAPTIONS = {
  "samples": "Images that the student was trained on, one row for each class, "
  "from large to small step sizes. The contrast of every image is stretched.",
  "decision_boundary": "The teacher's classes, the points that the student was "
  "trained on, and the student's boundary.",
  "confusion": "Test images by the teacher's class (rows) and the student's "
  "(columns). Shades grow with the root of the share in a row.",
  "queries": "The student's accuracy and agreement against the queries spent, "
  "with 95 % intervals. The grey bands are OWASP's, for agreement with the "
  "teacher.",
  "curves": "Losses and their terms over the run; bands are the range over "
  "seeds or sets.",
}


def write_html(
  path: Path, report: dict[str, Any], figures: Sequence[Path]
) -> None:
  """Writes the report as one HTML file that holds the figures.

  Args:
    path: the file.
    report: the fields of `report.json`; accuracies may be None.
    figures: PNG files, in the order of the page.
  """
  html.write(
    path,
    html.TEMPLATES / "report.html",
    report=report,
    config=json.dumps(to_json(report["config"]), indent=2, ensure_ascii=False),
    figures=figures,
    captions=CAPTIONS,
    summary=summary,
    classes=classes,
    audit=audit,
  )
