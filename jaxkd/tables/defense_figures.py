"""Figures of teachers that resist, and of what they still give away.

They show what figures 1, 2, 4 and 5 of Jandial et al., "Distilling the
Undistillable", ECCV 2022, show, with the means of `jaxkd.report.figures`.
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
from jaxkd.report.figures import DPI, FAINT, INK, PALETTE

TEMPERATURES, ALPHA = (4.0, 50.0), 0.9  # of figure 2, and of the ablations
NEIGHBOURS = 30  # t-SNE's perplexity
MOST_NAMED = 20  # more classes than that are not written out


class Sweep(NamedTuple):
  """Accuracies of one kind of student, as fractions.

  Attributes:
    panels: by what is varied, then by line: points `(value, accuracy)`.
    references: accuracies to compare with, by name.
  """

  panels: dict[str, dict[str, list[tuple[float, float]]]]
  references: dict[str, float]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
  """Probabilities `[..., K]` of logits at a temperature."""
  return np.asarray(jax.nn.softmax(logits / temperature))


def bars_figure(path: Path, probs: dict[str, np.ndarray], label: int) -> None:
  """What several networks say to one image.

  Args:
    path: of the PNG file.
    probs: `[K]` probabilities by the name of the network.
    label: the true class, in another colour.
  """
  figure = _bars(probs, label)
  figure.axes[0].set_ylabel("probability", color=INK)
  for axes in figure.axes:
    axes.set_ylim(0, 1)
  figure.savefig(path, dpi=DPI)


def temperature_figure(
  path: Path,
  logits: np.ndarray,
  label: int,
  temperatures: tuple[float, ...] = TEMPERATURES,
  alpha: float = ALPHA,
) -> None:
  """A teacher's logits, its probabilities at several temperatures, and what
  high-temperature composition makes of them at the last one.

  Args:
    path: of the PNG file.
    logits: `[K]` for one image.
    label: the true class, in another colour.
    temperatures: t, rising.
    alpha: weight of the teacher in the composition.
  """
  target = losses.htc_targets(
    logits, np.int32(label), temperature=temperatures[-1], alpha=alpha
  )
  panels = {
    "logits": logits,
    **{f"probabilities, t = {t:g}": softmax(logits, t) for t in temperatures},
    f"target, t = {temperatures[-1]:g}, α = {alpha:g}": np.asarray(target),
  }
  _bars(panels, label).savefig(path, dpi=DPI)


def _bars(panels: dict[str, np.ndarray], label: int) -> Figure:
  """A panel of K bars for each name, that of the true class in colour."""
  figure = Figure((2.3 * len(panels), 2.4), layout="constrained")
  row = figure.subplots(1, len(panels), squeeze=False)[0]
  for axes, (name, values) in zip(row, panels.items(), strict=True):
    colours = [PALETTE[0]] * len(values)
    colours[label] = PALETTE[5]
    axes.bar(range(len(values)), values, color=colours)
    axes.set_title(name, fontsize=9, color=INK)
    _plain(axes)
    if len(values) <= MOST_NAMED:
      axes.set_xticks(range(len(values)))
  figure.supxlabel(f"class, the true one is {label}", fontsize=8, color=FAINT)
  return figure


def sweep_figure(path: Path, swept: dict[str, Sweep]) -> None:
  """Accuracy against what was varied: a row of panels for each kind of student.

  Args:
    path: of the PNG file.
    swept: by the title of the row; references are dashed lines in every panel.
  """
  columns = max(len(sweep.panels) for sweep in swept.values())
  size = (3.6 * columns, 2.9 * len(swept))
  figure = Figure(size, layout="constrained")
  rows = figure.subplots(len(swept), columns, squeeze=False)
  for row, (title, sweep) in zip(rows, swept.items(), strict=True):
    row[0].set_title(title, loc="left", fontsize=9, color=INK)
    for axes in row[len(sweep.panels) :]:
      axes.set_axis_off()
    for axes, (varied, lines) in zip(row, sweep.panels.items(), strict=False):
      _lines(axes, lines, sweep.references)
      axes.set_xlabel(varied, fontsize=8, color=FAINT)
  figure.savefig(path, dpi=DPI)


def _lines(
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
  _plain(axes)
  axes.legend(frameon=False, fontsize=6)


def features_figure(
  path: Path, features: dict[str, np.ndarray], labels: np.ndarray
) -> None:
  """Features of the same images in the plane, a panel for each network.

  The plane is that of t-SNE (van der Maaten and Hinton, 2008), from a fixed
  seed; distances mean nothing across panels.

  Args:
    path: of the PNG file.
    features: `[N, D]` by the name of the network.
    labels: `[N]` true classes, which give the colours.
  """
  figure = Figure((2.8 * len(features), 3), layout="constrained")
  row = figure.subplots(1, len(features), squeeze=False)[0]
  for axes, (name, vectors) in zip(row, features.items(), strict=True):
    scatter(axes, plane(vectors), labels)
    axes.set_title(name, fontsize=9, color=INK)
  figure.savefig(path, dpi=DPI)


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
  """Points `[N, 2]` in the colours of their labels `[N]`, each class named."""
  classes = np.unique(labels)
  colours = dict(zip(classes, _colours(len(classes)), strict=True))
  axes.scatter(*points.T, s=4, lw=0, color=[colours[k] for k in labels])
  if len(classes) <= MOST_NAMED:
    for label in classes:
      middle = np.median(points[labels == label], axis=0)
      axes.text(*middle, str(label), ha="center", va="center", color=INK)
  axes.set(xticks=[], yticks=[])
  axes.spines[:].set_color(FAINT)


def plane(vectors: np.ndarray) -> np.ndarray:
  """Vectors `[N, D]` as points `[N, 2]` that keep their neighbours."""
  from sklearn.manifold import TSNE  # seconds of import; only needed here
  from threadpoolctl import threadpool_limits

  # Beside other work its threads wait for each other, 20 times longer.
  with threadpool_limits(1):
    return TSNE(
      perplexity=min(NEIGHBOURS, (len(vectors) - 1) / 3),
      init="random",
      random_state=0,
    ).fit_transform(vectors)


def _colours(count: int) -> np.ndarray:
  if count <= len(PALETTE):
    return PALETTE[:count]
  return matplotlib.colormaps["turbo"](np.linspace(0, 1, count))[:, :3]


def _plain(axes: Axes) -> None:
  axes.spines[["top", "right"]].set_visible(False)
  axes.spines[["left", "bottom"]].set_color(FAINT)
  axes.tick_params(colors=FAINT, labelsize=7)
