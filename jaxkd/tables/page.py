"""The files of a table: CSV, JSON, Markdown, and an HTML page with figures."""

from collections.abc import Iterable, Sequence
import csv
from pathlib import Path
import statistics
from typing import Any

from ml_collections import ConfigDict

from jaxkd.report import html
from jaxkd.runtime.files import atomic_write, write_json, write_text
from jaxkd.runtime.formatting import UNKNOWN
from jaxkd.tables import cheapest
from jaxkd.tables.records import Record

DIGITS = {"percent": 2, "nats": 4}
CAPTIONS = {
  "bars": "The probabilities that each network gives to the first test image "
  "that all of them get right. The true class has another colour.",
  "temperature": "The published teacher's logits on that image, its "
  "probabilities at two temperatures, and the target of high-temperature "
  "composition.",
  "sweep": "Accuracy on test data against one hyper-parameter, with the others "
  "as chosen; dashed lines are cells without a grid.",
  "features": "The penultimate features of the same test images, one panel for "
  "each network, embedded by t-SNE; colours are classes.",
  "matrix": "Accuracy on test data of students (columns) of teachers (rows).",
  "budgets": "Accuracy on test data against the queries that were spent.",
  "samples": "Synthetic images of each method, a row for each class that the "
  "teacher gives.",
  "synthetic": "Above, the finished student's features of its synthetic "
  "images, embedded by t-SNE; colours are the teacher's labels. Below, the "
  "generator's loss.",
}


def write(
  folder: Path, config: ConfigDict, records: list[Record]
) -> dict[str, Any]:
  """Writes `table.csv`, `table.md` and `table.json`.

  Args:
    folder: the folder of the table.
    config: the config of the table.
    records: the records of all cells, finished or not.

  Returns:
    The content of `table.json`.
  """
  with (
    atomic_write(folder / "table.csv") as partial,
    partial.open("w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.DictWriter(file, records[0])
    writer.writeheader()
    writer.writerows(
      {**record, "chosen": format_assignments(record["chosen"])}
      for record in records
    )
  write_text(folder / "table.md", render_markdown(config, records))
  fields = ("table", "title", "unit", "rows", "columns")
  table = {name: config[name] for name in fields} | {"cells": records}
  write_json(folder / "table.json", table)
  return table


def format_assignments(values: dict[str, float]) -> str:
  """Formats hyper-parameters as assignments.

  >>> format_assignments({"alpha": 0.9, "temperature": 50.0})
  'alpha=0.9 temperature=50'
  """
  return " ".join(f"{name}={value:g}" for name, value in values.items())


def layout(config: ConfigDict, records: Sequence[Record]) -> list[list[str]]:
  """Arranges the texts of all cells in rows, with the header first.

  A column with grids has another beside it, `(oracle)`: the accuracy of the
  grid's best point on test data. With `config.mean` a last row has the mean of
  each column over the finished cells.
  """
  by_position = {
    (record["row"], record["column"]): record for record in records
  }
  oracles = {r["column"] for r in records if r["oracle"] is not None}
  digits = DIGITS[config.unit]
  head, lines = [""], [[row] for row in config.rows]
  for column in config.columns:
    cells = [by_position.get((row, column)) for row in config.rows]
    head.append(column)
    for line, record in zip(lines, cells, strict=True):
      line.append(format_cell(record, digits))
    if column in oracles:
      head.append(f"{column} (oracle)")
      for line, record in zip(lines, cells, strict=True):
        line.append(format_value(record and record["oracle"], digits))
  if config.mean:
    lines.append(["mean", *(format_mean(c, records, digits) for c in head[1:])])
  return [head, *lines]


def format_mean(column: str, records: Sequence[Record], digits: int) -> str:
  """Formats the mean of a column and the standard deviation over its rows.

  >>> records = [{"column": "KD", "value": value} for value in (97, 98, None)]
  >>> format_mean("KD", records, 1)
  '97.5 ± 0.7'
  """
  values = [r["value"] for r in records if r["column"] == column]
  finished = [value for value in values if value is not None]
  if not finished:
    return UNKNOWN
  text = format_value(statistics.fmean(finished), digits)
  if finished[1:]:
    text += f" ± {format_value(statistics.stdev(finished), digits)}"
  return text


def format_cell(record: Record | None, digits: int) -> str:
  """Formats a cell: our number with its interval, and the paper's in brackets.

  >>> cell = {"value": 87.376, "std": 0.12, "low": 86.71, "high": 88.01}
  >>> cell |= {"published": None, "failed": None}
  >>> format_cell(cell, 2)
  '87.38 ± 0.12 [86.71, 88.01]'
  >>> format_cell({**cell, "std": None, "low": None, "published": 87.4}, 2)
  '87.38 (87.40)'
  """
  if record is None:
    return UNKNOWN
  text = "failed" if record["failed"] else format_value(record["value"], digits)
  if record["std"] is not None:
    text += f" ± {format_value(record['std'], digits)}"
  if record["low"] is not None:
    bounds = (record["low"], record["high"])
    low, high = (format_value(bound, digits) for bound in bounds)
    text += f" [{low}, {high}]"
  if record["published"] is None:
    return text
  return f"{text} ({format_value(record['published'], digits)})"


def format_value(value: float | None, digits: int) -> str:
  """Formats a number; None is a dash."""
  return UNKNOWN if value is None else f"{value:.{digits}f}"


def render_markdown(config: ConfigDict, records: Sequence[Record]) -> str:
  """Renders title, table and provenance in Markdown."""
  cells = render_cells(config, records)
  return f"# {config.title}\n\n{cells}\n\n{provenance(config, records)}\n"


def render_cells(config: ConfigDict, records: Sequence[Record]) -> str:
  """Renders the table in Markdown, and what `compare` says below it."""
  head, *lines = layout(config, records)
  rule = ["---", *["---:"] * (len(head) - 1)]
  parts = ["\n".join(map(markdown_row, (head, rule, *lines)))]
  if comparisons := compare(config, records):
    parts.append("\n".join(f"- {line}" for line in comparisons))
  return "\n\n".join(parts)


def compare(config: ConfigDict, records: Sequence[Record]) -> list[str]:
  """Says of each finished cell with a finished control whether it beats it, and
  of a table of defences which one to choose.
  """
  by_name, digits = {record["cell"]: record for record in records}, DIGITS
  lines = cheapest.advice(config, records)
  for record in records:
    control = by_name.get(config.cells[record["cell"]].control)
    if control is None or None in (record["value"], control["value"]):
      continue
    beats = record["value"] > control["value"]
    own, other = (
      format_value(each["value"], digits[config.unit])
      for each in (record, control)
    )
    lines.append(
      f"{record['row']}, {record['column']}: "
      f"{'better than' if beats else 'NOT better than'} its control "
      f"{control['column']} ({own} against {other})."
    )
  return lines


def markdown_row(texts: Sequence[str]) -> str:
  """Renders a row of a table, with bars in its texts escaped."""
  escaped = (text.replace("|", r"\|") for text in texts)
  return f"| {' | '.join(escaped)} |"


def provenance(config: ConfigDict, records: Sequence[Record]) -> str:
  """Describes where the numbers come from, in a paragraph."""
  done = [record for record in records if record["date"]]
  size, name = len(records), config.table
  failed = [record["cell"] for record in records if record["failed"]]
  sentences = [
    f"Numbers are in {config.unit}; those in round brackets are the paper's.",
    f"{len(done)} of {size} cells of the table {name} are finished.",
  ]
  if any(record["low"] is not None for record in records):
    sentences.append(
      "Square brackets hold 95 % intervals (Wilson) of the test images."
    )
  if done:
    days = sorted({record["date"][:10] for record in done})
    span = " to ".join(sorted({days[0], days[-1]}))
    commits = {record["commit"] or "unknown" for record in done}
    seeds = sorted({record["seeds"] for record in done})
    spread = ", mean ± standard deviation" if seeds[-1] > 1 else ""
    sentences += [
      f"Made {span} on {join({record['device'] for record in done})}, commit "
      f"{join(commits)}.",
      f"Seeds per cell: {join(map(str, seeds))}{spread}.",
      "The config of a cell is `config.json` in its folder; table.csv has the "
      "folders and the hyper-parameters.",
    ]
  if any(record["oracle"] is not None for record in records):
    sentences.append(
      "Test data chose nothing, except in the columns (oracle): these show the "
      "grid's best point on test data, which is a bound and not a result."
    )
  else:
    sentences.append("Test data chose nothing.")
  if failed:
    sentences.append(f"Failed: {', '.join(failed)}; see table.json.")
  return " ".join(sentences)


def join(words: Iterable[str]) -> str:
  """Joins words in alphabetical order."""
  return ", ".join(sorted(words))


def write_html(
  folder: Path,
  config: ConfigDict,
  records: Sequence[Record],
  figures: Sequence[Path],
) -> None:
  """Writes `report.html`, which needs no other file."""
  head, *lines = layout(config, records)
  html.write(
    folder / "report.html",
    Path(__file__).parent / "templates" / "table.html",
    title=config.title,
    head=head,
    lines=lines,
    comparisons=compare(config, records),
    figures=figures,
    captions=CAPTIONS,
    provenance=provenance(config, records),
  )
