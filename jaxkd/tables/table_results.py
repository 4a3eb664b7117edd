"""Records of tables, whose cells are whole runs, and how they are shown."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxkd.runtime.files import write_json
from jaxkd.runtime.finished_run import read_json, require_fields
from jaxkd.runtime.formatting import duration
from jaxkd.runtime.run_folder import CONFIG_NAME
from jaxkd.tables.cell_runs import read_report
from jaxkd.tables.page import render_cells
from jaxkd.tables.records import (
  UNITS,
  cell_folder,
  empty_record,
  filled_record,
)
from jaxkd.tables.results import devices, origins, read_record, record_of
from jaxkd.tables.rows import RESULTS, Row, differences
from jaxkd.tables.runner import ordered_cells
from jaxkd.types import JaxkdError

MOST_NAMED = 2  # cells whose names are printed for one difference


def record(
  workdir: Path, rows: Sequence[Row], folder: Path = RESULTS
) -> tuple[Path, list[str]]:
  """Records the finished cells of a table, or of a part of its cells.

  They replace earlier ones; recorded cells that the folder does not have stay.

  Args:
    workdir: the folder of the table.
    rows: the declared rows.
    folder: where records are.

  Returns:
    The record's file, and lines that say what was done.

  Raises:
    JaxkdError: if no cell is finished, a cell can't be recorded, or the table
      is that of no row.
  """
  path = workdir / CONFIG_NAME
  content = read_json(path)
  require_fields(path, content, ["config.cells"])
  names = set(content["config"]["cells"])
  found = {
    name: report
    for name in sorted(names)
    if (report := read_report(workdir / "cells" / name)) is not None
  }
  if not found:
    raise JaxkdError(
      f"{workdir} has no finished cell; run the command of the table first."
    )
  row, config = find_row(workdir, names, found, rows)
  # A part of a table may name a run that several cells share by another cell.
  folders = {cell_folder(config, name): name for name in found}
  reports = {run: found[name] for run, name in folders.items()}
  runs = {
    run: record_of(workdir / "cells" / name, found[name])
    | {"values": found[name]["config"]}
    for run, name in folders.items()
  }
  factor = UNITS[config.unit]
  cells = {
    name: filled_record(config.cells[name], reports[run], factor)
    for name in config.cells
    if (run := cell_folder(config, name)) in reports
  }
  path = folder / row.record_name
  kept, kept_runs = recorded_before(path, config, cells)
  content = {
    "config": row.config,
    "overrides": row.overrides,
    "runs": runs | kept_runs,
    "cells": cells | kept,
  }
  write_json(path, content)
  lines = [f"{row.command}: {len(cells)} of {len(config.cells)} cells"]
  if kept:
    lines.append(f"kept {len(kept)} cells that were recorded before")
  return path, lines


def recorded_before(
  path: Path, config: ConfigDict, new: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns the cells of an earlier record that stay, and their runs.

  Args:
    path: of the record, which may be absent.
    config: of the table.
    new: names of the cells that replace earlier ones.
  """
  if not path.exists():
    return {}, {}
  before = read_record(path)
  kept = {
    name: cell
    for name, cell in before["cells"].items()
    if name in config.cells
    and name not in new
    and cell_folder(config, name) in before["runs"]
  }
  runs = sorted({cell_folder(config, name) for name in kept})
  return kept, {run: before["runs"][run] for run in runs}


def find_row(
  workdir: Path,
  names: set[str],
  reports: Mapping[str, dict[str, Any]],
  rows: Sequence[Row],
) -> tuple[Row, ConfigDict]:
  """Returns the row whose cells a table has, and its config.

  Args:
    workdir: the folder of the table.
    names: of all its cells, which may be a part of the row's.
    reports: those of its finished runs, by the cell that their folder is of.
    rows: the declared rows.

  Raises:
    JaxkdError: if there is none, with what the nearest differs in.
  """
  nearest: list[tuple[str, str]] = []
  tables = [(row, row.load()) for row in rows if row.is_table]
  # A row that has just these cells comes before one that has others as well.
  for row, config in sorted(tables, key=lambda item: len(item[1].cells)):
    if names <= set(config.cells):
      differing = changes(
        config, {name: report["config"] for name, report in reports.items()}
      )
      if not differing:
        return row, config
      if not nearest or len(differing) < len(nearest):
        nearest = differing
  differing = [f"{text} ({name})" for text, name in nearest[:3]]
  hint = f"; the nearest differs in {'; '.join(differing)}" if nearest else ""
  raise JaxkdError(
    f"{workdir} is a table of no row in rows.toml{hint}. Add a row."
  )


def changes(
  config: ConfigDict, recorded: Mapping[str, dict[str, Any]]
) -> list[tuple[str, str]]:
  """Lists the fields in which recorded cells differ from a table of today.

  Args:
    config: of the table.
    recorded: resolved configs, by the names of cells.

  Returns:
    A text for each field, with both values, and the name of the cell.
  """
  found = []
  for name, values in recorded.items():
    if name not in config.cells:
      found.append(("not in the table", name))
      continue
    cell = config.cells[name].config
    found += [(text, name) for text in differences(cell, values)]
    if cell.seed != values["seed"]:
      found.append((f"seed {cell.seed}, recorded {values['seed']}", name))
  return found


def render(row: Row, content: Mapping[str, Any]) -> str:
  """Renders a table with its record: title, numbers and where they are from.

  Args:
    row: of the table.
    content: of its record.
  """
  config = row.load()
  records = [
    empty_record(config, name) | content["cells"].get(name, {})
    for name in ordered_cells(config)
  ]
  title = f"**`{row.command}`**: {config.title}"
  cells = render_cells(config, records)
  return f"{title}\n\n{cells}\n\n{origin(config, content)}\n"


def origin(config: ConfigDict, content: Mapping[str, Any]) -> str:
  """Describes where a table's numbers are from, in a paragraph."""
  runs = content["runs"].values()
  recorded = {name: run["values"] for name, run in content["runs"].items()}
  spent = duration(sum(run["seconds"]["total"] for run in runs))
  brackets = "in round brackets the published number"
  if any(cell["low"] is not None for cell in content["cells"].values()):
    brackets += ", in square ones the 95 % interval"
  text = (
    f"{len(content['cells'])} of {len(config.cells)} cells, in {config.unit}; "
    f"{brackets}. Runs: {len(runs)}, on "
    f"{' / '.join(devices(runs))}, {spent} in all; {', '.join(origins(runs))}."
  )
  cells_of: dict[str, list[str]] = {}  # by what differs
  for difference, cell in changes(config, recorded):
    cells_of.setdefault(difference, []).append(cell)
  outdated = "; ".join(
    f"{difference} ({', '.join(cells[:MOST_NAMED])}"
    f"{f' and {len(cells) - MOST_NAMED} more' * (len(cells) > MOST_NAMED)})"
    for difference, cells in cells_of.items()
  )
  return f"{text} Outdated: {outdated}." if outdated else text
