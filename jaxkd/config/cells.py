"""Tables are configs with cells; `jaxkd.tables.runner` runs them."""

from collections.abc import Collection, Sequence
import re
from typing import Any

from ml_collections import ConfigDict

from jaxkd.config.blocks import copied, defense
from jaxkd.config.files import sibling

UNDEFENDED = "none"
# Columns of what honest users get, and where it stands in a report.
HONEST = {
  "honest accuracy": "teacher.accuracy",
  "honest calibration error": "teacher.calibration_error",
}


def cell(
  row: str,
  column: str,
  config: ConfigDict,
  *,
  value: str = "student.accuracy",
  published: float | None = None,
  control: str = "",
) -> dict[str, Any]:
  """Returns one run of a table, with its position.

  Args:
    row: one of the table's rows.
    column: one of its columns.
    config: of the run, a whole one; it is copied.
    value: where the number stands in the run's `report.json`.
    published: the paper's number, in the table's unit; None if it has none.
    control: name of the cell that it has to beat; empty for none.
  """
  return {
    "row": row,
    "column": column,
    "config": copied(config),
    "value": value,
    "published": published,
    "control": control,
  }


def cells(
  config_file: str,
  rows: dict[str, str],
  columns: dict[str, str],
  argument: str,
  *,
  value: str | dict[str, str] = "student.accuracy",
  published: Sequence[Sequence[float | None]] = (),
) -> dict[str, dict[str, Any]]:
  """Returns a cell for every row and column, from configs in a folder.

  Args:
    config_file: of the table.
    rows: what stands behind the colon of every cell in a row, by its name.
    columns: a config's name, and what stands behind its colon, by the column's
      name.
    argument: what stands behind the colon of every cell.
    value: see `cell`; by column, if it is not the same for all.
    published: numbers in the order of rows and columns; None where the paper
      has none.
  """
  cells_by_name = {}
  for i, (row, shared) in enumerate(rows.items()):
    for j, (column, run) in enumerate(columns.items()):
      name, _, column_argument = run.partition(":")
      parts = ",".join(filter(None, (argument, shared, column_argument)))
      cells_by_name[slug(f"{row}_{column}")] = cell(
        row,
        column,
        sibling(config_file, name, parts),
        value=value if isinstance(value, str) else value[column],
        published=published[i][j] if published else None,
      )
  return cells_by_name


def cells_of_defenses(
  names: Sequence[str],
  attacks: dict[str, ConfigDict],
  keeping_label: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
  """Returns a cell for every defence and attack, and for what defences cost.

  Args:
    names: of the defences; a row without one comes first, see `UNDEFENDED`.
    attacks: whole configs by the names of their columns, all on one teacher.
      The columns `HONEST` beside them share the runs of the first.
    keeping_label: defences that never change a label. Other attacks that see
      labels alone are the same run as without one.
  """
  cells_by_name = {}
  first = next(iter(attacks))
  columns = dict.fromkeys(HONEST, first) | {name: name for name in attacks}
  for row in (UNDEFENDED, *names):
    for column, attack in columns.items():
      config = ConfigDict(copied(attacks[attack]))
      same = attack != first and config.teacher.access == "label"
      undefended = row == UNDEFENDED or (same and row in keeping_label)
      config.teacher.defense = defense(name="" if undefended else row)
      value = HONEST.get(column, "student.accuracy")
      name = slug(f"{row}_{column}")
      cells_by_name[name] = cell(row, column, config, value=value)
  return cells_by_name


def slug(name: str) -> str:
  """Returns a name that can be a folder and a part of a flag.

  >>> slug("cnn_Skep.+HTC, t = inf")
  'cnn_skep_htc_t_inf'
  """
  return re.sub(r"\W+", "_", name.lower()).strip("_")


def table(
  name: str,
  title: str,
  rows: Sequence[str],
  columns: Sequence[str],
  cells: dict[str, dict[str, Any]],
  *,
  unit: str = "percent",
  figures: Sequence[str] = (),
  mean: bool = False,
  prices: Sequence[str] = (),
) -> ConfigDict:
  """Returns the config of a table, see `jaxkd.tables.runner`.

  Args:
    name: of the table.
    title: a line that says which table of which paper it is, and on what data.
    rows: in the order in which they are shown and worked off.
    columns: likewise.
    cells: what `cell` gave, by names that serve as folders and in flags:
      `--config.cells.cnn_htc.config.seed=1`.
    unit: `percent` or `nats`.
    figures: of `bars`, `temperature`, `sweep` and `features`.
    mean: whether a last row has mean and standard deviation of all rows.
    prices: two columns, see `jaxkd.tables.cheapest`.
  """
  return ConfigDict(
    {
      "table": name,
      "title": title,
      "rows": tuple(rows),
      "columns": tuple(columns),
      "cells": cells,
      "unit": unit,
      "figures": tuple(figures),
      "mean": mean,
      "prices": tuple(prices),
    }
  )
