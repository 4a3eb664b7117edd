"""Renders the results in `configs/README.md` from the records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from jaxkd.config.files import PACKAGE
from jaxkd.errors import JaxkdError
from jaxkd.evaluation.accuracy import interval
from jaxkd.runtime.files import write_text
from jaxkd.runtime.formatting import count, duration
from jaxkd.tables import table_results
from jaxkd.tables.page import markdown_row
from jaxkd.tables.results import Record, devices, origins
from jaxkd.tables.rows import Row, differences

README = PACKAGE / "configs" / "README.md"
BEGIN, END = "<!-- begin of results -->", "<!-- end of results -->"
COLUMNS = (
  "config", "reproduces", "published", "teacher", "student", "agreement",
  "queries", "seeds", "device, time of a run", "date, commit",
)  # fmt: skip
NOT_RUN = ("config", "reproduces", "published", "not run, because")


def write(readme: Path, section: str) -> None:
  """Puts the section between its marks in the README.

  Raises:
    JaxkdError: if the marks are missing.
  """
  before, _, after = split(readme)
  write_text(readme, f"{before}{BEGIN}\n{section}{END}{after}")


def split(readme: Path) -> tuple[str, str, str]:
  """Returns a README's text before the section, the section, and the rest.

  Raises:
    JaxkdError: if the marks are missing.
  """
  text = readme.read_text(encoding="utf-8")
  before, begin, rest = text.partition(f"{BEGIN}\n")
  section, end, after = rest.partition(END)
  if not begin or not end:
    raise JaxkdError(
      f"{readme} lacks the line {BEGIN} or {END}; put both back, or the "
      "committed file."
    )
  return before, section, after


def render(rows: Sequence[Row], records: Mapping[str, Record]) -> str:
  """Renders the section: rows with a record, then those without.

  Args:
    rows: the declared rows.
    records: of `jaxkd.tables.results.read_records`.
  """
  finished = [row for row in rows if row.record_name in records]
  lines = [
    line(row, records[row.record_name]) for row in finished if not row.is_table
  ]
  tables = [
    f"{table_results.render(row, records[row.record_name])}\n"
    for row in finished
    if row.is_table
  ]
  return (
    "Accuracies and agreement are in percent of the test data, with the "
    "standard\ndeviation over the seeds and, in square brackets, the 95 % "
    "interval (Wilson) of as\nmany test images. A seed is a whole run, its "
    "teacher included.\n\n"
    f"{table(COLUMNS, lines)}\n"
    f"{''.join(tables)}"
    "These rows have no record. Braces stand for a row for each of the values\n"
    "between them, as in a shell:\n\n"
    f"{table(NOT_RUN, not_run(rows, records))}"
  )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
  """Renders a table in Markdown."""
  rule = ["---"] * len(head)
  return "".join(f"{markdown_row(each)}\n" for each in (head, rule, *lines))


def line(row: Row, record: Record) -> tuple[str, ...]:
  """Returns the cells of a row with a record."""
  runs = record["runs"]
  queries = sorted({count(run["queries"]["spent"]) for run in runs})
  access = runs[0]["queries"]["access"].replace("_", " ")
  images = sorted({count(run["synthesis"]["images"]) for run in runs})
  asked = f"{' to '.join(queries)} ({access})"
  if access == "white box":
    asked = f"white box, {' to '.join(images)} images"
  return (
    f"`{row.command}`{outdated(row, record)}",
    row.reproduces,
    row.published or "–",
    *(accuracies(runs, *path) for path in (
      ("teacher", "accuracy"), ("student", "accuracy"), ("student", "agreement")
    )),
    asked,
    seeds(runs),
    f"{' / '.join(devices(runs))}, {time(runs)}",
    ", ".join(origins(runs)),
  )  # fmt: skip


def outdated(row: Row, record: Record) -> str:
  """Says in which fields a record's config differs from today's, if any."""
  differing = differences(row.load(), record["values"])
  return f" (outdated: {'; '.join(differing)})" if differing else ""


def accuracies(runs: Sequence[Record], block: str, name: str) -> str:
  """Formats the mean over the runs, with deviation and 95 % interval."""
  values = [run[block][name] for run in runs]
  if None in values:
    return "–"
  text, deviation = f"{100 * mean(values):.1f}", None
  if len(values) > 1:
    deviation = stdev(values)
  elif block == "student" and name == "accuracy":
    deviation = runs[0]["student"]["accuracy_std"]
  if deviation is not None:
    text += f" ± {100 * deviation:.2f}"
  bounds = interval(mean(values), runs[0].get("test_images") or 0)
  if bounds is None:
    return text
  return f"{text} [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def seeds(runs: Sequence[Record]) -> str:
  """Lists the seeds, and how many students each run had if several."""
  text = ", ".join(str(run["seed"]) for run in runs)
  students = max(run["student"]["seeds"] for run in runs)
  return text if students == 1 else f"{text} ({students} students)"


def time(runs: Sequence[Record]) -> str:
  """Formats the mean time of a run, and whether its teacher was at hand."""
  text = duration(mean(run["seconds"]["total"] for run in runs))
  at_hand = any(run["seconds"]["teacher"] == 0 for run in runs)
  return f"{text} (a teacher was at hand)" if at_hand else text


def not_run(
  rows: Sequence[Row], records: Mapping[str, Record]
) -> list[tuple[str, ...]]:
  """Returns a line for each entry of `rows.toml` with rows without a record."""
  entries: dict[str, list[Row]] = {}
  for row in rows:
    entries.setdefault(row.commands, []).append(row)
  lines = []
  for pattern, entry in entries.items():
    rest = [row for row in entry if row.record_name not in records]
    if rest:
      names = [row.command for row in rest]
      lines.append(
        (
          ", ".join(f"`{n}`" for n in ([pattern] if rest == entry else names)),
          rest[0].reproduces,
          rest[0].published or "–",
          rest[0].not_run,
        )
      )
  return lines
