"""Runs the cells of a table, which several processes share out among them.

A process runs the first cell that has no report and whose folder no process has
locked. The lock of a process that dies is gone, and another one takes its cell
over.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxkd.pipeline import distill
from jaxkd.runtime import buckets, finished_run, leases, run_folder
from jaxkd.tables import page
from jaxkd.tables.records import UNITS, Record, filled_record
from jaxkd.types import JaxkdError


def run_cells(
  folder: Path, config: ConfigDict, records: dict[str, Record]
) -> None:
  """Runs cells until all have a report or have failed in this process.

  Cells that other processes run are waited for.

  Args:
    folder: of the table, where its files are written after every cell.
    config: of the table.
    records: of all cells, in the order in which they are to run.

  Raises:
    Preempted: after a signal, with everything saved.
  """
  places = {
    name: f"{number}/{len(records)} {name}"
    for number, name in enumerate(records, 1)
  }
  others, waiting = set(), list(records)
  while waiting:
    busy = []
    for name in waiting:
      workdir = folder / records[name]["workdir"]
      if read_report(workdir) is not None:
        by_another = name in others
        note = (
          "finished by another process" if by_another else "finished before"
        )
        print(f"{places[name]}: {note}", flush=True)
        continue
      if not run_folder.is_free(workdir):
        if name not in others:
          print(f"{places[name]}: another process runs it", flush=True)
        others.add(name)
        busy.append(name)
        continue
      print(places[name], flush=True)
      try:
        distill.distill(None, config.cells[name].config, workdir)
      except leases.InUse:  # another process was faster
        busy.append(name)
      except JaxkdError as error:
        records[name]["failed"] = str(error)
        print(f"{name} failed: {error}", flush=True)
      fill(folder, config, records)
      page.write(folder, config, list(records.values()))
    if busy:
      leases.pause()
    waiting = busy


def fill(
  folder: Path, config: ConfigDict, records: dict[str, Record]
) -> dict[str, dict[str, Any]]:
  """Fills the records of all cells that have a report; returns the reports."""
  reports = {}
  for name, record in records.items():
    report = read_report(folder / record["workdir"])
    if report is None:
      continue
    reports[name] = report
    try:
      cell, factor = config.cells[name], UNITS[config.unit]
      record |= {"failed": None, **filled_record(cell, report, factor)}
    except JaxkdError as error:
      record["failed"] = str(error)
  return reports


def read_report(folder: Path) -> dict[str, Any] | None:
  """Reads the report of a cell; None if the cell is not finished."""
  path = folder / finished_run.REPORT_NAME
  if not path.exists():
    buckets.fetch(path)
  if not path.exists():
    return None
  return finished_run.read_report(folder)
