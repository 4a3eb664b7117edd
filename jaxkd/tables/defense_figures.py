"""Figures of defended teachers and of the attacks on them.

They correspond to figures 1, 2, 4 and 5 of Jandial et al., "Distilling the
Undistillable", ECCV 2022.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np

from jaxkd import losses
from jaxkd.report.figure_file import FAINT, mute_frame, save_figure
from jaxkd.report.figures import DPI, INK, PALETTE

TEMPERATURES, ALPHA = (4.0, 50.0), 0.9  # as in figure 2 and the ablations
PERPLEXITY = 30  # of t-SNE
MAX_NAMED = 20  # the largest number of classes that are named in a figure


class Sweep(NamedTuple):
  """Accuracies of one student network while one number varies.

  Attributes:
    panels: points `(value, accuracy)` by the name of the number that varies,
      then by the name of the line.
    references: accuracies to compare with, by name.
  """

  panels: dict[str, dict[str, list[tuple[float, float]]]]
  references: dict[str, float]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
  """Computes probabilities `[..., K]` of logits at a temperature."""
  return np.asarray(jax.nn.softmax(logits / temperature))


def bars_figure(path: Path, probs: dict[str, np.ndarray], label: int) -> None:
  """Draws the probabilities that several networks give to one image.

  Args:
    path: the PNG file.
    probs: `[K]` probabilities by the name of the network.
    label: the true class, in another colour.
  """
  figure = _draw_bars(probs, label)
  figure.axes[0].set_ylabel("probability", color=INK)
  for axes in figure.axes:
    axes.set_ylim(0, 1)
  save_figure(path, figure, dpi=DPI)


def temperature_figure(path: Path, logits: np.ndarray, label: int) -> None:
  """Draws a teacher's logits, probabilities and composed target for one image.

  The target is that of high-temperature composition (HTC), with the weight
  `ALPHA` of the teacher and at the last one of `TEMPERATURES`.

  Args:
    path: the PNG file.
    logits: `[K]` for one image.
    label: the true class, in another colour.
  """
  target = losses.htc_targets(
    logits, np.int32(label), temperature=TEMPERATURES[-1], alpha=ALPHA
  )
  panels = {
    "logits": logits,
    **{f"probabilities, t = {t:g}": softmax(logits, t) for t in TEMPERATURES},
    f"target, t = {TEMPERATURES[-1]:g}, α = {ALPHA:g}": np.asarray(target),
  }
  save_figure(path, _draw_bars(panels, label), dpi=DPI)


def _draw_bars(panels: dict[str, np.ndarray], label: int) -> Figure:
  """Draws a panel of K bars for each name, with the true class in colour."""
  figure = Figure((2.3 * len(panels), 2.4), layout="constrained")
  row = figure.subplots(1, len(panels), squeeze=False)[0]
  for axes, (name, values) in zip(row, panels.items(), strict=True):
    colours = [PALETTE[0]] * len(values)
    colours[label] = PALETTE[5]
    axes.bar(range(len(values)), values, color=colours)
    axes.set_title(name, fontsize=9, color=INK)
    mute_frame(axes)
    if len(values) <= MAX_NAMED:
      axes.set_xticks(range(len(values)))
  figure.supxlabel(f"class (true: {label})", fontsize=8, color=FAINT)
  return figure


def sweep_figure(path: Path, sweeps: dict[str, Sweep]) -> None:
  """Draws accuracy against varied numbers: a row of panels for each sweep.

  Args:
    path: the PNG file.
    sweeps: sweeps by the title of their row; references are dashed lines.
  """
  columns = max(len(sweep.panels) for sweep in sweeps.values())
  size = (3.6 * columns, 2.9 * len(sweeps))
  figure = Figure(size, layout="constrained")
  rows = figure.subplots(len(sweeps), columns, squeeze=False)
  for row, (title, sweep) in zip(rows, sweeps.items(), strict=True):
    row[0].set_title(title, loc="left", fontsize=9, color=INK)
    for axes in row[len(sweep.panels) :]:
      axes.set_axis_off()
    for axes, (varied, lines) in zip(row, sweep.panels.items(), strict=False):
      _draw_lines(axes, lines, sweep.references)
      axes.set_xlabel(varied, fontsize=8, color=FAINT)
  save_figure(path, figure, dpi=DPI)


def _draw_lines(
  axes: Axes,
  lines: dict[str, list[tuple[float, float]]],
  references: dict[str, float],
) -> None:
  for index, (name, points) in enumerate(lines.items()):
    colour = PALETTE[index % len(PALETTE)]
    style = {"color": colour, "marker": "o", "ms": 3, "lw": 1.6}
    axes.plot(*zip(*points, strict=True), label=name, **style)
  for index, (name, accuracy) in enumerate(references.items(), len(lines)):
    colour = PALETTE[index % len(PALETTE)]
    axes.axhline(accuracy, color=colour, ls="--", lw=1, label=name)
  values = sorted({value for line in lines.values() for value, _ in line})
  if values[0] > 0 and values[-1] > 10 * values[0]:
    axes.set_xscale("log")
  axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
  axes.minorticks_off()
  axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  mute_frame(axes)
  axes.legend(frameon=False, fontsize=6)


def features_figure(
  path: Path, features: dict[str, np.ndarray], labels: np.ndarray
) -> None:
  """Draws features of the same images in 2-D, a panel for each network.

  They are embedded by t-SNE (van der Maaten and Hinton, 2008) with a fixed
  seed; panels can't be compared by distances.

  Args:
    path: the PNG file.
    features: `[N, D]` by the name of the network.
    labels: `[N]` true classes, which give the colours.
  """
  figure = Figure((2.8 * len(features), 3), layout="constrained")
  row = figure.subplots(1, len(features), squeeze=False)[0]
  for axes, (name, vectors) in zip(row, features.items(), strict=True):
    scatter(axes, embed(vectors), labels)
    axes.set_title(name, fontsize=9, color=INK)
  save_figure(path, figure, dpi=DPI)


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
  """Draws points `[N, 2]` in the colours of their labels `[N]`."""
  classes = np.unique(labels)
  colours = dict(zip(classes, _colours(len(classes)), strict=True))
  axes.scatter(*points.T, s=4, lw=0, color=[colours[k] for k in labels])
  if len(classes) <= MAX_NAMED:
    for label in classes:
      middle = np.median(points[labels == label], axis=0)
      axes.text(*middle, str(label), ha="center", va="center", color=INK)
  axes.set(xticks=[], yticks=[])
  axes.spines[:].set_color(FAINT)


def embed(vectors: np.ndarray) -> np.ndarray:
  """Embeds vectors `[N, D]` in the plane by t-SNE; returns points `[N, 2]`."""
  from sklearn.manifold import TSNE  # takes seconds to import
  from threadpoolctl import threadpool_limits

  # On a busy machine, several threads wait for each other and take 20 times
  # as long as one.
  with threadpool_limits(1):
    return TSNE(
      perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
      init="random",
      random_state=0,
    ).fit_transform(vectors)


def _colours(count: int) -> np.ndarray:
  if count <= len(PALETTE):
    return PALETTE[:count]
  return matplotlib.colormaps["turbo"](np.linspace(0, 1, count))[:, :3]
