"""Records of a table's cells: their numbers and where these come from."""

from typing import Any

from ml_collections import ConfigDict

from jaxkd.runtime.formatting import count_names
from jaxkd.types import JaxkdError

UNITS = {"percent": 100.0, "nats": 1.0}  # factors from a report's numbers
Record = dict[str, Any]  # a cell's entry in table.json


def empty_record(config: ConfigDict, name: str) -> Record:
  """Makes the record of a cell that is not finished."""
  cell = config.cells[name]
  return {
    "cell": name,
    "row": cell.row,
    "column": cell.column,
    "value": None,
    "std": None,
    "low": None,
    "high": None,
    "oracle": None,
    "published": cell.published,
    "unit": config.unit,
    "seeds": None,
    "device": None,
    "date": None,
    "commit": None,
    "workdir": f"cells/{cell_folder(config, name)}",
    "chosen": {},
    "failed": None,
  }


def cell_folder(config: ConfigDict, name: str) -> str:
  """Returns the name of the folder that holds a cell's run.

  Cells with the same config are the same run; its folder has the name of the
  first of them in alphabetical order.
  """
  run = config.cells[name].config
  return min(n for n, other in config.cells.items() if other.config == run)


def filled_record(
  cell: ConfigDict, report: dict[str, Any], factor: float
) -> Record:
  """Makes the fields that a report adds to a record: numbers and their origin.

  Args:
    cell: the cell's block in the config of the table.
    report: the report of the cell's run.
    factor: what numbers are multiplied by, one of `UNITS`.
  """

  def scaled(number: float | None) -> float | None:
    return None if number is None else factor * number

  value, std, (low, high) = get_number(report, cell.value)
  chosen, oracle = dict(report["config"].get("hyper", {})), None
  grid = report.get("grid")
  if grid:
    point = grid["points"][grid["chosen"]]
    chosen |= {name: point[name] for name in grid["names"]}
    if cell.value == "student.accuracy":
      oracle = grid["points"][grid["oracle"]]["accuracy"]
  return {
    "value": scaled(value),
    "std": scaled(std),
    "low": scaled(low),
    "high": scaled(high),
    "oracle": scaled(oracle),
    "seeds": report["student"]["seeds"],
    "device": count_names(report["devices"]),
    "date": report["date"],
    "commit": report["commit"],
    "chosen": chosen,
  }


def get_number(
  report: dict[str, Any], path: str
) -> tuple[float | None, float | None, tuple[float | None, float | None]]:
  """Returns a report's number by its dotted path, its deviation and interval.

  The deviation, over the seeds, and the bounds of the 95 % interval are None
  where the report has none.

  Raises:
    JaxkdError: if the report has no such number.
  """
  *blocks, field = path.split(".")
  for block in blocks:
    report = report.get(block) or {}  # null where a run has no such block
  if field not in report:
    raise JaxkdError(
      f"value={path}: the report has no such number. Its block "
      f"{'.'.join(blocks)} has {', '.join(report) or 'no numbers'}."
    )
  bounds = report.get(f"{field}_interval") or (None, None)
  return report[field], report.get(f"{field}_std"), tuple(bounds)
