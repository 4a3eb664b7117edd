"""Records finished runs, and renders `configs/README.md` from the records.

python -m jaxkd.tables record runs/DIR [runs/DIR ...]
python -m jaxkd.tables results

Exit status: 0 for success, 2 for wrong input.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from jaxkd.errors import JaxkdError, fail
from jaxkd.tables import results, results_page
from jaxkd.tables.rows import read_rows


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.tables",
    description="Keeps the results that configs/README.md shows.",
  )
  commands = parser.add_subparsers(dest="command", required=True)
  record = commands.add_parser(
    "record", help="records finished runs of a row, one for each seed"
  )
  record.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
  commands.add_parser("results", help="renders configs/README.md")
  return parser


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one command; wrong input ends the process with status 2."""
  arguments = _parser().parse_args(argv)
  try:
    rows = read_rows()
    if arguments.command == "record":
      path, lines = results.record(arguments.workdirs, rows)
      print("\n".join([*lines, f"written to {path}"]))
    else:
      records = results.read_records(rows)
      section = results_page.render(rows, records)
      results_page.write(results_page.README, section)
      print(f"{len(records)} records, written to {results_page.README}")
  except JaxkdError as error:
    fail(str(error))


if __name__ == "__main__":
  main()
