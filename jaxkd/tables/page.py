"""A table for readers: CSV and JSON, Markdown, and a page with figures."""

from collections.abc import Iterable, Sequence
import csv
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxkd.report import html
from jaxkd.runtime.files import atomic_write, write_json, write_text
from jaxkd.runtime.formatting import UNKNOWN
from jaxkd.tables.records import Record

DIGITS = {"percent": 2, "nats": 4}
CAPTIONS = {
  "bars": "What each network says to one image, the first test image that all "
  "of them get right. The true class stands out in colour.",
  "temperature": "The published teacher's logits on that image, its "
  "probabilities at two temperatures, and the target that high-temperature "
  "composition makes of them.",
  "sweep": "Accuracy on test data against one hyper-parameter, the others as "
  "chosen; dashed lines are cells without a grid.",
  "features": "The penultimate features of the same test images, one panel per "
  "network, in the plane by t-SNE; colours are classes.",
  "matrix": "Accuracy on test data of students (columns) of teachers (rows).",
  "budgets": "Accuracy on test data against the queries that were spent.",
  "samples": "Images that each method made, a row for each of the teacher's "
  "classes.",
  "synthetic": "Above, what the finished student makes of its synthetic "
  "images, in the plane by t-SNE; colours are the teacher's labels. Below, the "
  "generator's loss.",
}


def write(
  folder: Path, config: ConfigDict, records: list[Record]
) -> dict[str, Any]:
  """Writes `table.csv`, `table.md` and `table.json`, and returns the last.

  Args:
    folder: of the table.
    config: of the table.
    records: of all its cells, done or not.
  """
  with (
    atomic_write(folder / "table.csv") as partial,
    partial.open("w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.DictWriter(file, records[0])
    writer.writeheader()
    writer.writerows(
      {**record, "chosen": assignments(record["chosen"])} for record in records
    )
  write_text(folder / "table.md", markdown(config, records))
  fields = ("table", "title", "unit", "rows", "columns")
  table = {name: config[name] for name in fields} | {"cells": records}
  write_json(folder / "table.json", table)
  return table


def assignments(values: dict[str, float]) -> str:
  """Hyper-parameters in a word each.

  >>> assignments({"alpha": 0.9, "temperature": 50.0})
  'alpha=0.9 temperature=50'
  """
  return " ".join(f"{name}={value:g}" for name, value in values.items())


def grid(config: ConfigDict, records: Sequence[Record]) -> list[list[str]]:
  """The table as texts, its head first.

  A column with grids has another beside it, `(oracle)`: what the best of its
  points on test data would have given.
  """
  found = {(record["row"], record["column"]): record for record in records}
  oracles = {r["column"] for r in records if r["oracle"] is not None}
  digits = DIGITS[config.unit]
  head, lines = [""], [[row] for row in config.rows]
  for column in config.columns:
    shown = [found.get((row, column)) for row in config.rows]
    head.append(column)
    for line, record in zip(lines, shown, strict=True):
      line.append(text(record, digits))
    if column in oracles:
      head.append(f"{column} (oracle)")
      for line, record in zip(lines, shown, strict=True):
        line.append(number(record and record["oracle"], digits))
  return [head, *lines]


def text(record: Record | None, digits: int) -> str:
  """A cell: ours, and the paper's in brackets.

  >>> cell = {"value": 87.376, "std": 0.12, "published": None, "failed": None}
  >>> text(cell, 2), text({**cell, "std": None, "published": 87.4}, 2)
  ('87.38 ± 0.12', '87.38 (87.40)')
  """
  if record is None:
    return UNKNOWN
  ours = "failed" if record["failed"] else number(record["value"], digits)
  if record["std"] is not None:
    ours += f" ± {number(record['std'], digits)}"
  if record["published"] is None:
    return ours
  return f"{ours} ({number(record['published'], digits)})"


def number(value: float | None, digits: int) -> str:
  """A number, or a dash."""
  return UNKNOWN if value is None else f"{value:.{digits}f}"


def markdown(config: ConfigDict, records: Sequence[Record]) -> str:
  """Title, table and provenance."""
  head, *lines = grid(config, records)
  rule = ["---", *["---:"] * (len(head) - 1)]
  table = "\n".join(map(markdown_row, (head, rule, *lines)))
  return f"# {config.title}\n\n{table}\n\n{provenance(config, records)}\n"


def markdown_row(texts: Sequence[str]) -> str:
  """A line of a table; a bar in a text does not end its cell."""
  escaped = (text.replace("|", r"\|") for text in texts)
  return f"| {' | '.join(escaped)} |"


def provenance(config: ConfigDict, records: Sequence[Record]) -> str:
  """Where the numbers come from, as a paragraph."""
  done = [record for record in records if record["date"]]
  size, name = len(records), config.table
  failed = [record["cell"] for record in records if record["failed"]]
  sentences = [
    f"Numbers are in {config.unit}; those in brackets are the paper's.",
    f"{len(done)} of {size} cells of the table {name} are done.",
  ]
  if done:
    days = sorted({record["date"][:10] for record in done})
    span = " to ".join(sorted({days[0], days[-1]}))
    commits = {record["commit"] or "unknown" for record in done}
    seeds = sorted({record["seeds"] for record in done})
    spread = ", mean ± standard deviation" if seeds[-1] > 1 else ""
    sentences += [
      f"Made {span} on {listed({record['device'] for record in done})}, commit "
      f"{listed(commits)}.",
      f"Seeds per cell: {listed(map(str, seeds))}{spread}.",
      "The config of a cell is `config.json` in its folder; table.csv has the "
      "folders and the hyper-parameters.",
    ]
  if any(record["oracle"] is not None for record in records):
    sentences.append(
      "Test data chose nothing, except in the columns (oracle): these show the "
      "grid's best point on test data, a bound and not a result."
    )
  else:
    sentences.append("Test data chose nothing.")
  if failed:
    sentences.append(f"Failed: {', '.join(failed)}; table.json says why.")
  return " ".join(sentences)


def listed(words: Iterable[str]) -> str:
  return ", ".join(sorted(words))


def write_html(
  folder: Path,
  config: ConfigDict,
  records: Sequence[Record],
  figures: Sequence[Path],
) -> None:
  """Writes `report.html`, which needs no other file."""
  head, *lines = grid(config, records)
  html.write(
    folder / "report.html",
    Path(__file__).parent / "templates" / "table.html",
    title=config.title,
    head=head,
    lines=lines,
    figures=figures,
    captions=CAPTIONS,
    provenance=provenance(config, records),
  )
