"""Figures that hold many runs against each other: a matrix of accuracies,
accuracies against budgets, and the images that generators made.

They show what the matrices of CAKE's poster and figures 3 to 5 of IDEAL (Zhang
et al., ICLR 2023) show.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np

from jaxkd.report.figures import DPI, FAINT, INK, PALETTE
from jaxkd.runtime.formatting import count
from jaxkd.tables.defense_figures import plane, scatter

PER_CLASS = 8  # images of a class that the grid of a method shows


def matrix_figure(
  path: Path,
  rows: tuple[str, ...],
  columns: tuple[str, ...],
  values: np.ndarray,
) -> None:
  """Accuracies of students (columns) of teachers (rows), as colours and in
  percent.

  Args:
    path: of the PNG file.
    rows: names of the teachers.
    columns: names of the students.
    values: `[rows, columns]` fractions; NaN where there is none.
  """
  size = (1.6 + 1.1 * len(columns), 1.2 + 0.7 * len(rows))
  figure = Figure(size, layout="constrained")
  axes = figure.subplots()
  axes.imshow(values, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
  axes.set_xticks(range(len(columns)), columns, fontsize=7, color=INK)
  axes.set_yticks(range(len(rows)), rows, fontsize=7, color=INK)
  axes.set_xlabel("student", color=INK)
  axes.set_ylabel("teacher", color=INK)
  for row, column in np.ndindex(values.shape):
    value = values[row, column]
    text = "–" if np.isnan(value) else f"{100 * value:.1f}"
    axes.text(column, row, text, ha="center", va="center", color=INK)
  axes.spines[:].set_visible(False)
  figure.savefig(path, dpi=DPI)


def budgets_figure(
  path: Path, lines: dict[str, list[tuple[int, float]]]
) -> None:
  """Accuracy against the queries that it took, a line for each method.

  Args:
    path: of the PNG file.
    lines: points `(queries, accuracy)` by method.
  """
  figure = Figure((5.2, 3.2), layout="constrained")
  axes = figure.subplots()
  for index, (name, points) in enumerate(lines.items()):
    colour = PALETTE[index % len(PALETTE)]
    queries, accuracies = zip(*sorted(points), strict=True)
    axes.plot(queries, accuracies, color=colour, marker="o", ms=4, label=name)
  axes.set_xscale("log")
  axes.set(xlabel="queries", ylim=(0, 1))
  axes.xaxis.set_major_formatter(lambda value, _: count(value))
  axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  _plain(axes)
  axes.legend(frameon=False, fontsize=8)
  figure.savefig(path, dpi=DPI)


def samples_figure(
  path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]], num_classes: int
) -> None:
  """Images that methods made, a panel for each method, a row for each class.

  Args:
    path: of the PNG file.
    made: images `[N, H, W, C]` in [0, 1] and the teacher's labels `[N]`, by
      method.
    num_classes: K.
  """
  figure = Figure((2.6 * len(made), 0.3 * num_classes + 0.7))
  row = figure.subplots(1, len(made), squeeze=False)[0]
  for axes, (name, (images, labels)) in zip(row, made.items(), strict=True):
    axes.imshow(_tiles(images, labels, num_classes))
    axes.set_title(name, fontsize=9, color=INK)
    axes.set_axis_off()
  figure.savefig(path, dpi=DPI, bbox_inches="tight")


def _tiles(
  images: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """A row of images for every class, white where there are too few."""
  height, width = (side + 1 for side in images.shape[1:3])
  canvas = np.ones((num_classes * height, PER_CLASS * width, 3), np.float32)
  for label in range(num_classes):
    members = images[np.flatnonzero(labels == label)[:PER_CLASS]]
    for place, image in enumerate(members):
      top, left = label * height, place * width
      canvas[top : top + height - 1, left : left + width - 1] = image
  return canvas


def synthetic_figure(
  path: Path,
  features: dict[str, np.ndarray],
  labels: dict[str, np.ndarray],
  losses: dict[str, list[float]],
) -> None:
  """What students see in synthetic images, and the loss of their generator.

  Args:
    path: of the PNG file.
    features: `[N, D]` of synthetic images in the student, by run; shown in the
      plane of t-SNE.
    labels: `[N]` the teacher's, which give the colours.
    losses: of the generator by round, likewise.
  """
  figure = Figure((2.6 * len(features), 4.6), layout="constrained")
  above, below = figure.subplots(2, len(features), squeeze=False)
  for axes, curve, name in zip(above, below, features, strict=True):
    scatter(axes, plane(features[name]), labels[name])
    axes.set_title(name, fontsize=9, color=INK)
    curve.plot(losses[name], color=PALETTE[0], lw=1)
    curve.set_xlabel("round", fontsize=8, color=FAINT)
    _plain(curve)
  below[0].set_ylabel("generator's loss", fontsize=8, color=FAINT)
  figure.savefig(path, dpi=DPI)


def _plain(axes: Axes) -> None:
  axes.spines[["top", "right"]].set_visible(False)
  axes.spines[["left", "bottom"]].set_color(FAINT)
  axes.tick_params(colors=FAINT, labelsize=7)
