"""Accuracy against one number: lines through what a table's cells found."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxkd.tables.defense_figures import Sweep


def sweeps(reports: dict[str, dict[str, Any]]) -> dict[str, Sweep]:
  """What cells say of hyper-parameters and of the amount of data.

  Cells with the same data set and networks go together, and are a line where
  they have a grid or differ in `synthesis.fraction`. Others are to compare
  with.
  """
  found: dict[str, Sweep] = {}
  shares: dict[tuple[str, str], list[tuple[float, float]]] = {}
  with_grid = set()
  for report in reports.values():
    teacher, student = report["teacher"]["model"], report["student"]["model"]
    title, line = f"{report['dataset']}: {teacher} → {student}", attack(report)
    panels, _ = found.setdefault(title, Sweep({}, {}))
    fraction = report["config"]["synthesis"].get("fraction", 1.0)
    point = (fraction, report["student"]["accuracy"])
    shares.setdefault((title, line), []).append(point)
    if report.get("grid"):
      with_grid.add((title, line))
      for varied, held, points in slices(report["grid"]):
        panels.setdefault(varied, {})[f"{line}, {held}"] = points
  for (title, line), points in shares.items():
    panels, references = found[title]
    if len(dict(points)) > 1:
      panels.setdefault("share of the training data", {})[line] = sorted(points)
    elif (title, line) not in with_grid:
      references[line] = float(np.mean([accuracy for _, accuracy in points]))
  return {title: sweep for title, sweep in found.items() if sweep.panels}


def attack(report: dict[str, Any]) -> str:
  """What was done to which teacher, in a few words."""
  words, objective = report["method"], report["config"].get("objective")
  if objective:
    words += f" + {objective}"
  if report.get("defense"):
    words += f" against {report['defense']['name'].replace('_', ' ')}"
  return words


def slices(
  grid: dict[str, Any],
) -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
  """Lines through the chosen point of a grid, along each of its directions:
  what is varied, what is held, and the points `(value, accuracy)`.
  """
  chosen = grid["points"][grid["chosen"]]
  for varied in grid["names"]:
    held = [name for name in grid["names"] if name != varied]
    points = sorted(
      (point[varied], point["accuracy"])
      for point in grid["points"]
      if all(point[name] == chosen[name] for name in held)
    )
    if len(points) > 1:
      yield varied, ", ".join(f"{n} {chosen[n]:g}" for n in held), points
