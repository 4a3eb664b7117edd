"""Sweeps: lines of accuracy against one number, from a table's cells."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxkd.tables.defense_figures import Sweep


def collect_sweeps(reports: dict[str, dict[str, Any]]) -> dict[str, Sweep]:
  """Collects lines of accuracy over hyper-parameters and amounts of data.

  Cells with the same data set and networks are one sweep. They are a line if
  they have a grid or differ in `synthesis.fraction`; others are references.

  Args:
    reports: the reports of finished cells by name.

  Returns:
    Sweeps by title, without those that have no line.
  """
  by_title: dict[str, Sweep] = {}
  shares: dict[tuple[str, str], list[tuple[float, float]]] = {}
  with_grid = set()
  for report in reports.values():
    teacher, student = report["teacher"]["model"], report["student"]["model"]
    title = f"{report['dataset']}: {teacher} → {student}"
    line = attack_name(report)
    panels, _ = by_title.setdefault(title, Sweep({}, {}))
    fraction = report["config"]["synthesis"].get("fraction", 1.0)
    point = (fraction, report["student"]["accuracy"])
    shares.setdefault((title, line), []).append(point)
    if report.get("grid"):
      with_grid.add((title, line))
      for varied, fixed, points in slice_grid(report["grid"]):
        panels.setdefault(varied, {})[f"{line}, {fixed}"] = points
  for (title, line), points in shares.items():
    panels, references = by_title[title]
    if len(dict(points)) > 1:
      panels.setdefault("share of the training data", {})[line] = sorted(points)
    elif (title, line) not in with_grid:
      references[line] = float(np.mean([accuracy for _, accuracy in points]))
  return {title: sweep for title, sweep in by_title.items() if sweep.panels}


def attack_name(report: dict[str, Any]) -> str:
  """Names the method, the student's objective and the teacher's defence."""
  name, objective = report["method"], report["config"].get("objective")
  if objective:
    name += f" + {objective}"
  if report.get("defense"):
    name += f" against {report['defense']['name'].replace('_', ' ')}"
  return name


def slice_grid(
  grid: dict[str, Any],
) -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
  """Yields the lines through a grid's chosen point along each of its axes.

  Yields:
    The name of the number that varies, the values of the others as text, and
    points `(value, accuracy)`.
  """
  chosen = grid["points"][grid["chosen"]]
  for varied in grid["names"]:
    others = [name for name in grid["names"] if name != varied]
    points = sorted(
      (point[varied], point["accuracy"])
      for point in grid["points"]
      if all(point[name] == chosen[name] for name in others)
    )
    if len(points) > 1:
      yield varied, ", ".join(f"{n} {chosen[n]:g}" for n in others), points
