"""A table of a paper: cells, each a whole run, and the numbers side by side.

  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR

Cells are worked off row by row, in `DIR/cells/NAME`; two that are the same run
share it. The same folder goes on
at the cell where it stopped: one with a report is never run again, one that
failed is tried again. `table.csv`, `table.md` and `table.json` are written
anew after every cell, `report.html` with the figures at the end.
"""

import json
from pathlib import Path
import re
from typing import Any

from ml_collections import ConfigDict

from jaxkd.config import checks
from jaxkd.pipeline import distill, plan
from jaxkd.runtime import run_folder
from jaxkd.tables import page
from jaxkd.tables.records import (
  UNITS,
  empty_record,
  filled_record,
  run_folder as home,
)
from jaxkd.types import JaxkdError


def run(config: ConfigDict, workdir: str | Path | None = None) -> dict:
  """Runs every cell that has no report yet.

  Args:
    config: from `jaxkd.config.table`.
    workdir: of the table; None: a folder under `runs/` named after it.

  Returns:
    What `table.json` holds.

  Raises:
    JaxkdError: for a config that can't be, or at the end, naming the cells
      that failed.
    Preempted: after a signal, with everything saved.
  """
  check(config)
  records = {name: empty_record(config, name) for name in order(config)}
  reports = {}
  with run_folder.lock_workdir(
    workdir or default(config), runs(config)
  ) as folder:
    for number, (name, record) in enumerate(records.items(), 1):
      place, wanted = folder / record["workdir"], config.cells[name]
      done = report_of(place) is not None
      note = ": done before" if done else ""
      print(f"{number}/{len(records)} {name}{note}", flush=True)
      try:
        if not done:
          distill.distill(None, wanted.config, place)
        reports[name] = report_of(place)
        record |= filled_record(wanted, reports[name], UNITS[config.unit])
      except JaxkdError as error:
        record["failed"] = str(error)
        print(f"{name} failed: {error}", flush=True)
      table = page.write(folder, config, list(records.values()))
    from jaxkd.tables import figures  # matplotlib is slow to import

    drawn = figures.draw(folder, config, reports)
    page.write_html(folder, config, table["cells"], drawn)
    print(f"\n{(folder / 'table.md').read_text()}\n{folder / 'report.html'}")
  failed = [name for name, record in records.items() if record["failed"]]
  if failed:
    raise JaxkdError(
      f"{len(failed)} of {len(records)} cells failed: {', '.join(failed)}. "
      "table.json says why; the same command tries them again."
    )
  return table


def describe(config: ConfigDict, workdir: str | Path | None = None) -> str:
  """What `run` would do: the cells, which are done, and what the others need.

  Raises:
    JaxkdError: for a table that can't be; a cell that can't be is marked.
  """
  check(config)
  folder = Path(workdir or default(config))
  parts = [f"table {config.table}: {len(config.cells)} cells, in {folder}"]
  for name in order(config):
    wanted = config.cells[name]
    if report_of(folder / "cells" / home(config, name)) is not None:
      state = "  done"
    else:
      state = brief(wanted.config)
    parts.append(f"{name}: {wanted.row}, {wanted.column}\n{state}")
  return "\n\n".join(parts)


def brief(config: ConfigDict) -> str:
  """The plan of one cell, without its config."""
  try:
    _, *sections = plan.describe(config).split("\n\n")
  except JaxkdError as error:
    return f"  refused: {error}"
  return "\n".join(sections)


def check(config: ConfigDict) -> None:
  """Every cell has a place of its own, and a name that can be a folder.

  Raises:
    JaxkdError: naming the field.
  """
  checks.choice("unit", config.unit, UNITS)
  for figure in config.figures:
    checks.choice("figure", figure, page.CAPTIONS)
  places = {}
  for name, wanted in config.cells.items():
    if not re.fullmatch(r"[\w-]+", name):
      raise JaxkdError(
        f"A cell is named {name!r}; use letters, digits, _ and - alone."
      )
    checks.choice(f"cells.{name}.row", wanted.row, config.rows)
    checks.choice(f"cells.{name}.column", wanted.column, config.columns)
    other = places.setdefault((wanted.row, wanted.column), name)
    if other != name:
      raise JaxkdError(
        f"The cells {other} and {name} have the same row and column; give one "
        "of them another."
      )


def order(config: ConfigDict) -> list[str]:
  """Names of the cells, row by row; a config itself keeps no order."""
  rows, columns = list(config.rows), list(config.columns)

  def place(name: str) -> tuple[int, int]:
    wanted = config.cells[name]
    return rows.index(wanted.row), columns.index(wanted.column)

  return sorted(config.cells, key=place)


def runs(config: ConfigDict) -> ConfigDict:
  """The part of the config on which the numbers depend."""
  return ConfigDict(
    {
      "table": config.table,
      "cells": {
        name: {"config": wanted.config} for name, wanted in config.cells.items()
      },
    }
  )


def default(config: ConfigDict) -> Path:
  """`runs/table-NAME-HASH`, named as the folder of a run is."""
  names = {"method": "table", "dataset": config.table}
  return run_folder.default(ConfigDict({**names, "runs": runs(config)}))


def report_of(folder: Path) -> dict[str, Any] | None:
  """The report of a cell, which it writes when it is done; None before."""
  path = folder / "report.json"
  return json.loads(path.read_text()) if path.exists() else None
