"""The report as one HTML file that needs nothing else."""

from collections.abc import Sequence
from html import escape
import json
from pathlib import Path
from typing import Any

from jaxkd import audit, html, summary as words
from jaxkd.metrics import to_json
from jaxkd.quantities import (
  comparison,
  count,
  duration,
  number,
  percent,
  scaled,
  tally,
)

CAPTIONS = {
  "samples": "Images the student learned from, one row per class, from large "
  "to small step sizes. The contrast of every image is stretched.",
  "decision_boundary": "The teacher's classes, the points the student learned "
  "from, and the student's boundary.",
  "queries": "The student as the budget was spent. The bands are OWASP's, for "
  "agreement with the teacher.",
  "curves": "Losses and terms over the run; bands span the seeds.",
}
STAGES = ("teacher", "synthesis", "student")


def _nats(value: float | None) -> str:
  return number(value, "nat")


# What is known without data: in words, and as people read it.
SIGNS = {
  "agreement": ("agreement with the teacher, held-out samples", percent),
  "kl": ("KL(teacher ‖ student)", _nats),
  "calibration_error": ("student's calibration error", percent),
  "teacher_coverage": ("classes among the teacher's answers", percent),
  "student_coverage": ("classes among the student's answers", percent),
  "answer_entropy": ("entropy of the teacher's mean answer", _nats),
  "answer_entropy_share": ("of the largest possible", percent),
  "sample_entropy": ("mean entropy of an answer", _nats),
  "diversity": ("distances within a class, of those in all", percent),
  "duplicates": ("exact duplicates", percent),
}
PREDICTED = {
  "estimate": ("agreement foretold without data", percent),
  "agreement": ("agreement on test data", percent),
  "gap": ("foretold less real", percent),
  "rank_correlation": (
    "rank correlation with accuracy",
    lambda value: number(value, "").strip(),
  ),
}


def write_html(
  path: str | Path, report: dict[str, Any], figures: Sequence[Path]
) -> None:
  """Writes the report as one HTML file, with the figures inside.

  Args:
    path: of the file.
    report: as in `report.json`; accuracies may be None.
    figures: PNG files, in the order in which they are shown.
  """
  title = f"{words.system(report)} on {report['dataset']}"
  sections = (
    f"<header><p>{escape(title)}</p><h1>{escape(words.headline(report))}</h1>"
    f"<p>{escape(words.story(report))}</p></header>",
    _tiles(report),
    html.section("Teacher and student", _table(report)),
    _data_free(report.get("data_free")),
    _extras(report),
    html.section("Queries", _queries(report)),
    html.section(
      "Time and memory", _times(report["seconds"]) + _memory(report)
    ),
    html.section("Figures", "".join(map(_figure, figures))),
    _config(report["config"]),
    _footer(report),
  )
  html.write(path, title, sections)


def _tiles(report: dict[str, Any]) -> str:
  student = report["student"]
  tiles = {
    "Student's accuracy": percent(student["accuracy"]),
    "Agreement": percent(student["agreement"]),
    "Student's parameters": count(student["parameters"]),
    "Time in all": duration(report["seconds"]["total"]),
  }
  return (
    "<dl>"
    + "".join(
      f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
      for name, value in tiles.items()
    )
    + "</dl>"
  )


def _table(report: dict[str, Any]) -> str:
  teacher, student = report["teacher"], report["student"]
  held_out = student.get("synthetic_agreement")
  rows = [
    ("model", teacher["model"], student["model"], ""),
    (
      "accuracy",
      percent(teacher["accuracy"]),
      words.accuracy(student),
      words.kept(report),
    ),
    ("agreement", "", percent(student["agreement"]), ""),
    (
      "KL(teacher ‖ student)",
      "",
      number(student["kl"], "nat"),
      "",
    ),
  ]
  if held_out is not None:
    rows.append(("agreement, held-out samples", "", percent(held_out), ""))
  costs = {
    "parameters": ("parameters", count),
    "size": ("bytes", lambda value: scaled(value, "B")),
    "work an image": ("flops", lambda value: scaled(value, "FLOP")),
    "latency an image": ("latency_ms", lambda value: number(value, "ms")),
  }
  for name, (field, show) in costs.items():
    before, after = teacher[field], student[field]
    rows.append((name, show(before), show(after), comparison(after, before)))
  head = html.row(("", "teacher", "student", "student to teacher"), "th")
  return f"<table>{head}{''.join(map(html.row, rows))}</table>"


def _data_free(signs: dict[str, Any] | None) -> str:
  """What is known without data, where the run tells of it."""
  if not signs:
    return ""
  intro = f"<p>{escape(words.data_free(signs))}.</p>"
  if not signs["samples"]:
    return html.section("Without data", intro)
  rows = [(text, show(signs[name])) for name, (text, show) in SIGNS.items()]
  if predicted := signs["predicted"]:
    rows += [
      (text, show(predicted[name])) for name, (text, show) in PREDICTED.items()
    ]
  table = f"<table>{''.join(map(html.row, rows))}</table>"
  return html.section("Without data", intro + table)


def _extras(report: dict[str, Any]) -> str:
  """Defence, guide and grid, where a run has them."""
  lines = words.extras(report)
  if not lines:
    return ""
  text = "".join(
    f"<p>{escape(name)}: {escape(line)}.</p>" for name, line in lines.items()
  )
  return html.section("Defence and attack", text + _grid(report["grid"]))


def _grid(grid: dict[str, Any] | None) -> str:
  if grid is None:
    return ""
  head = html.row(("point", *grid["names"], "held-out", "test"), "th")
  rows = [
    (
      {grid["oracle"]: "oracle", grid["chosen"]: "chosen"}.get(index, ""),
      *(f"{point[name]:g}" for name in grid["names"]),
      percent(point["validation"]),
      percent(point["accuracy"]),
    )
    for index, point in enumerate(grid["points"])
  ]
  return f"<table>{head}{''.join(map(html.row, rows))}</table>"


def _queries(report: dict[str, Any]) -> str:
  found = report["queries"]
  paragraphs = [words.queries(found), audit.verdict(report), found["ended"]]
  text = "".join(f"<p>{escape(part)}</p>" for part in paragraphs if part)
  if found["budget"] is None:
    return text
  rows = "".join(map(html.row, audit.account(found)))
  return f"{text}<table>{rows}</table>"


def _times(seconds: dict[str, float]) -> str:
  bars = "".join(
    f'<span style="--stage: var(--{stage}); flex: {seconds[stage]:.3f}"></span>'
    for stage in STAGES
  )
  legend = "".join(
    f'<li><i style="--stage: var(--{stage})"></i>{stage} '
    f"{duration(seconds[stage])}</li>"
    for stage in STAGES
  )
  return f'<div class="bar">{bars}</div><ul>{legend}</ul>'


def _memory(report: dict[str, Any]) -> str:
  """In a sentence, where the run tells of it."""
  if memory := report.get("memory"):
    return f"<p>Memory: {escape(words.peaks(memory))}.</p>"
  return ""


def _figure(path: Path) -> str:
  caption = CAPTIONS.get(path.stem, path.stem.replace("_", " "))
  return html.figure(path, caption)


def _config(config: dict[str, Any]) -> str:
  text = json.dumps(to_json(config), indent=2, ensure_ascii=False)
  return (
    "<details><summary>Configuration</summary>"
    f"<pre>{escape(text)}</pre></details>"
  )


def _footer(report: dict[str, Any]) -> str:
  versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
  parts = (
    report["date"],
    f"on {tally(report['devices'])}",
    f"commit {report['commit'] or 'unknown'}",
    versions,
  )
  return f"<footer>{escape('; '.join(parts))}.</footer>"
