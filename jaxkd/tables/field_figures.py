"""Figures that compare runs: accuracies, budgets and synthetic images.

They correspond to the matrices of CAKE's poster and figures 3 to 5 of IDEAL
(Zhang et al., ICLR 2023).
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np

from jaxkd.report.figure_file import FAINT, mute_frame, save_figure
from jaxkd.report.figures import DPI, INK, PALETTE
from jaxkd.runtime.formatting import count
from jaxkd.tables.defense_figures import embed, scatter

PER_CLASS = 8  # images of each class in a method's panel


def matrix_figure(
  path: Path,
  rows: tuple[str, ...],
  columns: tuple[str, ...],
  values: np.ndarray,
) -> None:
  """Draws accuracies of students (columns) of teachers (rows) as a heat map.

  Args:
    path: the PNG file.
    rows: the names of the teachers.
    columns: the names of the students.
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
  save_figure(path, figure, dpi=DPI)


def budgets_figure(
  path: Path, lines: dict[str, list[tuple[int, float]]]
) -> None:
  """Draws accuracy against queries, a line for each method.

  Args:
    path: the PNG file.
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
  mute_frame(axes)
  axes.legend(frameon=False, fontsize=8)
  save_figure(path, figure, dpi=DPI)


def samples_figure(
  path: Path,
  samples: dict[str, tuple[np.ndarray, np.ndarray]],
  num_classes: int,
) -> None:
  """Draws synthetic images, a panel for each method, a row for each class.

  Args:
    path: the PNG file.
    samples: images `[N, H, W, C]` in [0, 1] and the teacher's labels `[N]`, by
      method.
    num_classes: K.
  """
  figure = Figure((2.6 * len(samples), 0.3 * num_classes + 0.7))
  row = figure.subplots(1, len(samples), squeeze=False)[0]
  for axes, (name, (images, labels)) in zip(row, samples.items(), strict=True):
    axes.imshow(_tile(images, labels, num_classes))
    axes.set_title(name, fontsize=9, color=INK)
    axes.set_axis_off()
  save_figure(path, figure, dpi=DPI, bbox_inches="tight")


def _tile(
  images: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """Arranges images in a row for every class, white where there are too few."""
  height, width = (side + 1 for side in images.shape[1:3])
  canvas = np.ones((num_classes * height, PER_CLASS * width, 3), np.float32)
  for label in range(num_classes):
    members = images[np.flatnonzero(labels == label)[:PER_CLASS]]
    for index, image in enumerate(members):
      top, left = label * height, index * width
      canvas[top : top + height - 1, left : left + width - 1] = image
  return canvas


def synthetic_figure(
  path: Path,
  features: dict[str, np.ndarray],
  labels: dict[str, np.ndarray],
  losses: dict[str, list[float]],
) -> None:
  """Draws student features of synthetic images, and the generator's loss.

  Args:
    path: the PNG file.
    features: `[N, D]` features in the student by run, embedded by t-SNE.
    labels: `[N]` the teacher's labels by run, which give the colours.
    losses: the generator's loss in each round, by run.
  """
  figure = Figure((2.6 * len(features), 4.6), layout="constrained")
  above, below = figure.subplots(2, len(features), squeeze=False)
  for axes, curve, name in zip(above, below, features, strict=True):
    scatter(axes, embed(features[name]), labels[name])
    axes.set_title(name, fontsize=9, color=INK)
    curve.plot(losses[name], color=PALETTE[0], lw=1)
    curve.set_xlabel("round", fontsize=8, color=FAINT)
    mute_frame(curve)
  below[0].set_ylabel("generator's loss", fontsize=8, color=FAINT)
  save_figure(path, figure, dpi=DPI)
