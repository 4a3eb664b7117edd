"""The report as one HTML file that needs nothing else."""

import base64
from collections.abc import Sequence
from html import escape
import json
from pathlib import Path
from typing import Any

from jaxkd import audit, summary as words
from jaxkd.metrics import to_json
from jaxkd.quantities import (
  UNKNOWN,
  comparison,
  count,
  duration,
  percent,
  scaled,
  tally,
)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --faint: #5d6771;
  --line: #dde2e7; --paper: #fff; --tile: #f4f6f8; --teacher: #0072b2;
  --synthesis: #009e73; --student: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec;
  --faint: #9aa5af; --line: #343c44; --paper: #14181c; --tile: #1e242a; } }
body { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem;
  color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, sans-serif; }
header p, figcaption, footer, th, dt, summary { color: var(--faint); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.3rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.6rem; }
dl { display: grid; gap: 0.8rem; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
dl div { background: var(--tile); border-radius: 0.6rem; padding: 0.8rem 1rem; }
dt { font-size: 0.85rem; }
dd { margin: 0; font-size: 1.45rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.35rem 0.6rem;
  border-bottom: 1px solid var(--line); font-weight: normal; }
th:first-child { text-align: left; padding-left: 0; }
.bar { display: flex; height: 0.8rem; gap: 2px; margin: 0.6rem 0; }
.bar span, i { background: var(--stage); border-radius: 2px; }
i { display: inline-block; width: 0.7rem; height: 0.7rem;
  margin: 0 0.4rem 0 0; }
li { display: inline-block; margin-right: 1.6rem; }
ul { padding: 0; margin: 0; }
figure { margin: 1.2rem 0; break-inside: avoid; }
img { box-sizing: border-box; max-width: 100%; background: #fff;
  border: 1px solid var(--line); border-radius: 0.6rem; }
pre { overflow-x: auto; background: var(--tile); border-radius: 0.6rem;
  padding: 1rem; font-size: 0.85rem; white-space: pre-wrap; }
footer { margin-top: 3rem; font-size: 0.85rem; overflow-wrap: anywhere; }
@media print { :root { color-scheme: light; --ink: #000; --faint: #444;
  --line: #bbb; --paper: #fff; --tile: #f4f6f8; }
  body { max-width: none; padding: 0; print-color-adjust: exact; }
  table { break-inside: avoid; } h2 { break-after: avoid; }
  details { display: none; } }
"""
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


def write_html(
  path: str | Path, report: dict[str, Any], figures: Sequence[Path]
) -> None:
  """Writes the report as one HTML file, with the figures inside.

  Args:
    path: of the file.
    report: as in `report.json`; accuracies may be None.
    figures: PNG files, in the order in which they are shown.
  """
  title = f"{report['method']} on {report['dataset']}"
  sections = (
    f"<header><p>{escape(title)}</p><h1>{escape(words.headline(report))}</h1>"
    f"<p>{escape(words.story(report))}</p></header>",
    _tiles(report),
    _section("Teacher and student", _table(report)),
    _section("Queries", _queries(report)),
    _section("Time", _times(report["seconds"])),
    _section("Figures", "".join(map(_figure, figures))),
    _config(report["config"]),
    _footer(report),
  )
  Path(path).write_text(
    '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
    + "\n".join(sections)
    + "\n</body>\n</html>\n",
    encoding="utf-8",
  )


def _section(title: str, content: str) -> str:
  return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _row(cells: Sequence[str], tag: str = "td") -> str:
  first, *rest = map(escape, cells)
  others = "".join(f"<{tag}>{cell}</{tag}>" for cell in rest)
  return f"<tr><th>{first}</th>{others}</tr>"


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
      _number(student["kl"], "nat"),
      "",
    ),
  ]
  if held_out is not None:
    rows.append(("agreement, unseen synthetic", "", percent(held_out), ""))
  costs = {
    "parameters": ("parameters", count),
    "size": ("bytes", lambda number: scaled(number, "B")),
    "work an image": ("flops", lambda number: scaled(number, "FLOP")),
    "latency an image": ("latency_ms", lambda number: _number(number, "ms")),
  }
  for name, (field, show) in costs.items():
    before, after = teacher[field], student[field]
    rows.append((name, show(before), show(after), comparison(after, before)))
  head = _row(("", "teacher", "student", "student to teacher"), "th")
  return f"<table>{head}{''.join(map(_row, rows))}</table>"


def _queries(report: dict[str, Any]) -> str:
  found = report["queries"]
  paragraphs = [words.queries(found), audit.verdict(report), found["ended"]]
  text = "".join(f"<p>{escape(part)}</p>" for part in paragraphs if part)
  if found["budget"] is None:
    return text
  rows = "".join(map(_row, audit.account(found)))
  return f"{text}<table>{rows}</table>"


def _number(number: float | None, unit: str) -> str:
  return UNKNOWN if number is None else f"{number:.3g} {unit}"


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


def _figure(path: Path) -> str:
  image = base64.b64encode(path.read_bytes()).decode("ascii")
  caption = escape(CAPTIONS.get(path.stem, path.stem.replace("_", " ")))
  return (
    f'<figure><img alt="{caption}" src="data:image/png;base64,{image}">'
    f"<figcaption>{caption}</figcaption></figure>"
  )


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
