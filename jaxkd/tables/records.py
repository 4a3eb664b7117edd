"""What a table says of a cell: its number, and where it comes from."""

from typing import Any

from ml_collections import ConfigDict

from jaxkd.runtime.formatting import count_names
from jaxkd.types import JaxkdError

UNITS = {"percent": 100.0, "nats": 1.0}  # of the table, per unit of a report
Record = dict[str, Any]  # of a cell, as in table.json


def empty_record(config: ConfigDict, name: str) -> Record:
  """What the table says of a cell before it is done."""
  wanted = config.cells[name]
  return {
    "cell": name,
    "row": wanted.row,
    "column": wanted.column,
    "value": None,
    "std": None,
    "oracle": None,
    "published": wanted.published,
    "unit": config.unit,
    "seeds": None,
    "device": None,
    "date": None,
    "commit": None,
    "workdir": f"cells/{run_folder(config, name)}",
    "chosen": {},
    "failed": None,
  }


def run_folder(config: ConfigDict, name: str) -> str:
  """Whose folder a cell's run is in: of cells that are the same run and show
  different numbers of it, the first by name.
  """
  run = config.cells[name].config
  return min(n for n, other in config.cells.items() if other.config == run)


def filled_record(
  wanted: ConfigDict, report: dict[str, Any], factor: float
) -> Record:
  """What a report adds to that: numbers times `factor`, and their origin."""

  def scaled(number: float | None) -> float | None:
    return None if number is None else factor * number

  value, std = number_at(report, wanted.value)
  chosen, oracle = dict(report["config"].get("hyper", {})), None
  grid = report.get("grid")
  if grid:
    point = grid["points"][grid["chosen"]]
    chosen |= {name: point[name] for name in grid["names"]}
    if wanted.value == "student.accuracy":
      oracle = grid["points"][grid["oracle"]]["accuracy"]
  return {
    "value": scaled(value),
    "std": scaled(std),
    "oracle": scaled(oracle),
    "seeds": report["student"]["seeds"],
    "device": count_names(report["devices"]),
    "date": report["date"],
    "commit": report["commit"],
    "chosen": chosen,
  }


def number_at(
  report: dict[str, Any], path: str
) -> tuple[float | None, float | None]:
  """A number by its dotted path, and its standard deviation over the seeds if
  the report has one beside it.
  """
  *blocks, field = path.split(".")
  for block in blocks:
    report = report.get(block) or {}  # null: the run had nothing of the kind
  if field not in report:
    raise JaxkdError(
      f"value={path}: the report has no such number. Its {'.'.join(blocks)} "
      f"has {', '.join(report) or 'nothing'}."
    )
  return report[field], report.get(f"{field}_std")
