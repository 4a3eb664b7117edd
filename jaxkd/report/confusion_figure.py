"""The figure of the classes that a teacher and its student give to images."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

from jaxkd.report.figure_file import FAINT, save_figure
from jaxkd.report.figures import DPI, INK

MAX_NUMBERS = 20  # classes up to which numbers are written into the cells


def confusion_figure(path: str | Path, confusion: list[list[int]]) -> None:
  """Draws how often the student gives each class to images of each class.

  A row is a class of the teacher; its cells are shaded by their share of the
  row's images, and hold their numbers if there are few classes.

  Args:
    path: the PNG file.
    confusion: `[K, K]` numbers of images by the teacher's and student's class.
  """
  counts = np.asarray(confusion)
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  side = min(2.2 + 0.36 * len(counts), 8.0)
  figure = Figure((side, side), layout="constrained")
  axes = figure.subplots()
  # A few wrong images in a thousand are to be seen beside the right ones.
  axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.4)
  if len(counts) <= MAX_NUMBERS:
    for row, column in np.argwhere(counts):
      axes.text(
        column, row, str(counts[row, column]), ha="center", va="center",
        fontsize=6, color=INK,
      )  # fmt: skip
  axes.set_xlabel("student's class", color=INK)
  axes.set_ylabel("teacher's class", color=INK)
  for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_locator(MaxNLocator(MAX_NUMBERS, integer=True))
  axes.tick_params(colors=FAINT, labelsize=7)
  axes.spines[:].set_visible(False)
  save_figure(path, figure, dpi=DPI)
