"""Records finished runs, and renders `configs/README.md` from the records.

Every record renders the page anew; `results` alone does it after a config or
`rows.toml` has changed.

python -m jaxkd.tables record runs/DIR [runs/DIR ...]
python -m jaxkd.tables record runs/TABLE
python -m jaxkd.tables results

Exit status: 0 for success, 2 for wrong input.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import errors_end_command
from jaxkd.tables import results, results_page, table_results
from jaxkd.tables.rows import Row, read_rows


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.tables",
    description="Keeps the results that configs/README.md shows.",
  )
  commands = parser.add_subparsers(dest="command", required=True)
  record = commands.add_parser(
    "record", help="records finished runs of a row, one per seed, or a table"
  )
  record.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
  commands.add_parser("results", help="renders configs/README.md alone")
  return parser


def record(
  workdirs: Sequence[Path], rows: Sequence[Row]
) -> tuple[Path, list[str]]:
  """Records the runs of a row, or a table; returns its file and a report.

  Raises:
    JaxkdError: if there are several folders and one of them is a table's.
  """
  tables = [path for path in workdirs if (path / "cells").is_dir()]
  if not tables:
    return results.record(workdirs, rows)
  if len(workdirs) > 1:
    raise JaxkdError(f"{tables[0]} is a table; record it alone.")
  return table_results.record(tables[0], rows)


def render(rows: Sequence[Row]) -> str:
  """Writes the section of `configs/README.md`; returns what was written."""
  records = results.read_records(rows)
  results_page.write(results_page.README, results_page.render(rows, records))
  return f"{len(records)} records, written to {results_page.README}"


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one command; wrong input ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  with errors_end_command():
    rows = read_rows()
    if arguments.command == "record":
      path, lines = record(arguments.workdirs, rows)
      print("\n".join([*lines, f"written to {path}"]))
    print(render(rows))


if __name__ == "__main__":
  main()
