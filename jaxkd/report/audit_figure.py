"""The figure of a student's accuracy and agreement against queries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np

from jaxkd.evaluation.audit import BANDS
from jaxkd.report.figure_file import FAINT, mute_frame, save_figure
from jaxkd.report.figures import DPI, INK, PALETTE
from jaxkd.runtime.formatting import count


def queries_figure(
  path: str | Path,
  curve: Sequence[dict[str, Any]],
  teacher_accuracy: float | None,
) -> None:
  """Draws accuracy and agreement against queries, over OWASP's bands.

  Args:
    path: the PNG file.
    curve: points with `queries`, `accuracy` and `agreement`, which may be None,
      and `accuracy_interval` and `agreement_interval` if they are known.
    teacher_accuracy: drawn as a line, unless None.
  """
  figure = Figure((6.6, 3.6), layout="constrained")
  axes = figure.subplots()
  edges = [1.0, *(bound for bound, _ in BANDS)]
  for index, (bound, word) in enumerate(BANDS):
    axes.axhspan(
      bound, edges[index], color=INK, alpha=0.09 - 0.03 * index, lw=0
    )
    axes.text(
      1.01, (bound + edges[index]) / 2, word, fontsize=7, color=FAINT,
      va="center", transform=axes.get_yaxis_transform(),
    )  # fmt: skip
  for colour, name in zip((5, 0), ("accuracy", "agreement"), strict=True):
    points = [(p["queries"], p[name]) for p in curve if p[name] is not None]
    if points:
      _draw_intervals(axes, curve, name, PALETTE[colour])
      axes.plot(
        *zip(*points, strict=True), color=PALETTE[colour], marker="o", ms=3,
        lw=1.6, label=name,
      )  # fmt: skip
  if teacher_accuracy is not None:
    axes.axhline(
      teacher_accuracy, color=FAINT, lw=1, ls="--", label="teacher's accuracy"
    )
  axes.set(xlabel="queries", ylim=(0, 1))
  axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  axes.xaxis.set_major_formatter(lambda value, _: count(value))
  mute_frame(axes)
  if axes.get_legend_handles_labels()[0]:
    axes.legend(frameon=False, fontsize=8, loc="lower right")
  save_figure(path, figure, dpi=DPI)


def _draw_intervals(
  axes: Axes, curve: Sequence[dict[str, Any]], name: str, colour: np.ndarray
) -> None:
  """Draws the 95 % intervals of a curve as a band."""
  points = [
    (point["queries"], *bounds)
    for point in curve
    if (bounds := point.get(f"{name}_interval")) is not None
  ]
  if points:
    queries, low, high = zip(*points, strict=True)
    axes.fill_between(queries, low, high, color=colour, alpha=0.18, lw=0)
