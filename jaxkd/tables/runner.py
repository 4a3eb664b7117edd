"""Runs the cells of a table, each of which is a whole run.

  python -m jaxkd.main --config=configs/nasty_table.py --workdir=DIR

Cells run row by row, in `DIR/cells/NAME`; cells with the same config share one
run. All are checked before the first runs. The same command continues at the
cell where it stopped: a cell with a report is not run again, and one that
failed is. Started several times with one folder, also on several machines, its
processes share the cells out. `table.csv`, `table.md` and `table.json` are
written after every cell, and `report.html` with the figures at the end.
"""

from collections.abc import Iterable
import contextlib
from pathlib import Path
import re
from typing import Any

from ml_collections import ConfigDict

from jaxkd.config import checks, fields
from jaxkd.config.fields import Block
from jaxkd.config.run_fields import RUN
from jaxkd.config.table_fields import CELL, TABLE
from jaxkd.config.teacher_fields import INTERFACES
from jaxkd.pipeline import plan, resolution
from jaxkd.pipeline.setup import setup
from jaxkd.pipeline.teacher import check_given
from jaxkd.runtime import buckets, run_folder
from jaxkd.tables import page
from jaxkd.tables.cell_runs import fill, read_report, run_cells
from jaxkd.tables.records import cell_folder, empty_record
from jaxkd.types import JaxkdError


def run(
  config: ConfigDict, workdir: str | Path | None = None
) -> dict[str, Any]:
  """Runs every cell that has no report yet.

  Args:
    config: the config of the table, from `jaxkd.config.table`.
    workdir: the folder of the table; None for a folder under `runs/` that is
      named after it.

  Returns:
    The content of `table.json`.

  Raises:
    JaxkdError: for a table or a cell that is not valid, before any cell runs,
      or at the end if cells failed.
    Preempted: after a signal, with everything saved.
  """
  check(config)
  records = {name: empty_record(config, name) for name in ordered_cells(config)}
  name = f"table-{config.table}"
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(
      buckets.opened(workdir or default_folder(config))
    )
    buckets.fetch(folder)
    # Before the folder is taken, so that a corrected command may use it.
    check_cells(config, folder)
    folder = stack.enter_context(
      run_folder.lock_workdir(folder, identity(config), name=name, shared=True)
    )
    run_cells(folder, config, records)
    buckets.fetch(folder)  # the cells of other processes, for the figures
    reports = fill(folder, config, records)
    table = page.write(folder, config, list(records.values()))
    from jaxkd.tables import figures  # matplotlib is slow to import

    paths = figures.draw(folder, config, reports)
    page.write_html(folder, config, table["cells"], paths)
    report = buckets.shown(folder / "report.html")
    print(f"\n{(folder / 'table.md').read_text()}\n{report}")
  failed = [name for name, record in records.items() if record["failed"]]
  if failed:
    raise JaxkdError(
      f"{len(failed)} of {len(records)} cells failed: {', '.join(failed)}. "
      "See table.json for the reasons; the same command runs them again."
    )
  return table


def describe(config: ConfigDict, workdir: str | Path | None = None) -> str:
  """Describes what `run` would do: finished cells, and the plans of others.

  Raises:
    JaxkdError: for a table that is not valid; the text marks a cell that is
      not.
  """
  check(config)
  place = workdir or default_folder(config)
  parts = [f"table {config.table}: {len(config.cells)} cells, in {place}"]
  with buckets.opened(place) as folder:
    for name in ordered_cells(config):
      cell = config.cells[name]
      if read_report(folder / "cells" / cell_folder(config, name)) is not None:
        state = "  finished"
      else:
        state = describe_cell(cell.config)
      parts.append(f"{name}: {cell.row}, {cell.column}\n{state}")
  return "\n\n".join(parts)


def describe_cell(config: ConfigDict) -> str:
  """Describes the plan of one cell, without its config."""
  try:
    _, *sections = plan.describe(config).split("\n\n")
  except JaxkdError as error:
    return f"  refused: {error}"
  return "\n".join(sections)


def check(config: ConfigDict) -> None:
  """Checks all fields, and the names and positions of the cells.

  Raises:
    JaxkdError: for a value that is not allowed, a name that can't be a folder,
      or two cells in one position.
  """
  fields.check(declared(config), config)
  for figure in config.figures:
    checks.choice("figure", figure, page.CAPTIONS)
  positions = {}
  for name, cell in config.cells.items():
    if not re.fullmatch(r"[\w-]+", name):
      raise JaxkdError(
        f"A cell is named {name!r}; use letters, digits, _ and - only."
      )
    checks.choice(f"cells.{name}.row", cell.row, config.rows)
    checks.choice(f"cells.{name}.column", cell.column, config.columns)
    if cell.control:
      checks.choice(f"cells.{name}.control", cell.control, config.cells)
    other = positions.setdefault((cell.row, cell.column), name)
    if other != name:
      raise JaxkdError(
        f"The cells {other} and {name} have the same row and column; change "
        "those of one of them."
      )


def refuse_fields_of_runs(config: ConfigDict, paths: Iterable[str]) -> None:
  """Refuses fields that the runs of a table have, and not the table itself.

  Args:
    config: of the table.
    paths: dotted names of the fields that flags set.

  Raises:
    JaxkdError: for the first such field.
  """
  for path in paths:
    block, _, name = path.partition(".")
    if block not in [field.name for field in RUN.fields]:
      continue
    if config.prices and block == "teacher" and name in INTERFACES:
      raise JaxkdError(
        f"{path}: the rows of this table are defences, and a served teacher "
        "can't be changed from outside; leave the field or the defences out."
      )
    cell = next(iter(config.cells))
    raise JaxkdError(
      f"{path}: a table has no such field, each of its runs has: for instance "
      f"--config.cells.{cell}.config.{path}=..."
    )


def check_cells(config: ConfigDict, folder: Path) -> None:
  """Checks the unfinished cells of a table: all that their plans would refuse.

  Args:
    config: of the table.
    folder: of the table.

  Raises:
    JaxkdError: naming a cell that can't be run, and how many more there are.
  """
  refused = []
  for name in sorted({cell_folder(config, name) for name in config.cells}):
    workdir = folder / "cells" / name
    if read_report(workdir) is None:
      try:
        check_given(setup(config.cells[name].config), workdir)
      except JaxkdError as error:
        refused.append(f"cells.{name}.config: {error}")
  if refused:
    others = f" {len(refused) - 1} more can't be run." if refused[1:] else ""
    raise JaxkdError(
      f"{refused[0]}{others} Nothing was run; --plan shows every cell."
    )


def declared(config: ConfigDict) -> Block:
  """Returns the declared fields of a table, its cells and their runs.

  Raises:
    JaxkdError: if a cell's config names no method.
  """
  cells = []
  for name, cell in config.cells.items():
    try:
      run = resolution.declared(cell.get("config", {}))._replace(name="config")
    except JaxkdError as error:
      raise JaxkdError(f"cells.{name}.config: {error}") from None
    cells.append(CELL._replace(name=name, fields=(*CELL.fields, run)))
  block = Block("cells", "The cells of the table.", tuple(cells))
  return TABLE._replace(fields=(*TABLE.fields, block))


def ordered_cells(config: ConfigDict) -> list[str]:
  """Returns the names of the cells row by row; a config has no order."""
  rows, columns = list(config.rows), list(config.columns)

  def position(name: str) -> tuple[int, int]:
    cell = config.cells[name]
    return rows.index(cell.row), columns.index(cell.column)

  return sorted(config.cells, key=position)


def identity(config: ConfigDict) -> dict[str, Any]:
  """Returns the part of a config on which the table's numbers depend."""
  cells = {
    name: {"config": cell.config.to_dict()}
    for name, cell in config.cells.items()
  }
  return {"config": {"table": config.table, "cells": cells}}


def default_folder(config: ConfigDict) -> Path:
  """Returns the folder `runs/table-NAME-HASH`."""
  return run_folder.default(f"table-{config.table}", identity(config))
