"""Figures of a run, as PNG files.

They are drawn through matplotlib's objects and not through pyplot, whose state
is global. The colours are those of Okabe and Ito ("Color universal design",
2008), which colour-blind readers can distinguish.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

from jaxkd.report.figure_file import FAINT, mute_frame, save_figure
from jaxkd.runtime.metrics import numbers_of
from jaxkd.types import Array, Classifier

PALETTE = np.array([
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167],
  [86, 180, 233], [213, 94, 0], [240, 228, 66], [110, 110, 110],
]) / 255  # fmt: skip
STAGE_COLOURS = {"teacher": 0, "synthesis": 2, "student": 5}
INK = "#222222"
CAPTION = {"ha": "center", "va": "bottom", "fontsize": 7, "color": FAINT}
DPI = 150
MAX_ROWS, MAX_COLUMNS = 20, 12


def samples_figure(
  path: str | Path,
  images: Array,
  labels: Array,
  step_sizes: Array | None,
  num_classes: int,
) -> None:
  """Draws synthetic images: a row for each class, from large to small steps.

  Every image is stretched to the full range between its 1st and 99th
  percentile, because small step sizes give little contrast. Of many classes or
  step sizes, an evenly spaced choice is drawn.

  Args:
    path: the PNG file.
    images: `[N, H, W, C]` floats, C = 1 or 3.
    labels: `[N]` target classes.
    step_sizes: `[N]` step size that each image was made with; None if the
      method has none.
    num_classes: K.
  """
  has_sizes = step_sizes is not None
  sizes = np.asarray(step_sizes) if has_sizes else np.zeros(len(labels))
  classes = _evenly_spaced(np.arange(num_classes), MAX_ROWS)
  grid, captions = [], []
  for label in classes:
    members = np.flatnonzero(np.asarray(labels) == label)
    by_size = members[np.argsort(-sizes[members], kind="stable")]
    row = _evenly_spaced(by_size, MAX_COLUMNS)
    grid.append([_stretch(image) for image in np.asarray(images[row])])
    captions.append([f"{size:.2g}" for size in sizes[row]])
  # Sets that hold all classes give every row the same step sizes.
  if all(row == captions[0] for row in captions):
    captions = captions[:1]
  axes = _draw_grid(grid, images.shape[1:3], captions if has_sizes else [])
  axes.set_yticks(axes.get_yticks(), classes)
  axes.set_ylabel("class", color=INK)
  if has_sizes:
    axes.set_title("step size →", loc="left", fontsize=10, color=INK, pad=16)
  save_figure(path, axes.figure, dpi=DPI)


def _draw_grid(
  grid: list[list[np.ndarray]],
  shape: tuple[int, int],
  captions: list[list[str]],
) -> Axes:
  """Draws rows of images with captions above, and a y tick for each row."""
  zoom = max(1, round(72 / max(shape)))
  height, width = shape[0] * zoom, shape[1] * zoom
  gap = 24 if len(captions) > 1 else 5
  columns = max(1, *map(len, grid))
  canvas = np.ones((len(grid) * (height + gap), columns * (width + 5), 3))
  axes = _pixel_axes(canvas)
  for row, tiles in enumerate(grid):
    top = row * (height + gap) + gap
    for column, tile in enumerate(tiles):
      left = column * (width + 5)
      zoomed = tile.repeat(zoom, 0).repeat(zoom, 1)
      canvas[top : top + height, left : left + width] = zoomed
      if row < len(captions):
        caption = captions[row][column]
        axes.text(left + width / 2, top - 4, caption, **CAPTION)
  axes.imshow(canvas, interpolation="nearest")
  axes.set_yticks(np.arange(len(grid)) * (height + gap) + gap + height / 2)
  return axes


def _evenly_spaced(values: np.ndarray, count: int) -> np.ndarray:
  """Selects at most `count` values, evenly spaced, with the first and last."""
  indices = np.linspace(0, len(values) - 1, min(count, len(values)))
  return values[indices.round().astype(int)]


def _stretch(image: np.ndarray) -> np.ndarray:
  image = image.astype(np.float32)
  low, high = np.percentile(image, (1, 99))
  image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
  return np.broadcast_to(image, (*image.shape[:2], 3))


def _pixel_axes(canvas: np.ndarray) -> Axes:
  """Makes axes on which a pixel of the canvas is a pixel of the file."""
  left, top, right, bottom = 0.7, 0.55, 0.15, 0.15  # inches
  height, width = (size / DPI for size in canvas.shape[:2])
  total_w, total_h = left + width + right, top + height + bottom
  figure = Figure((total_w, total_h))
  axes = figure.add_axes(
    (left / total_w, bottom / total_h, width / total_w, height / total_h)
  )
  axes.set_xticks([])
  axes.tick_params(length=0, colors=INK)
  axes.spines[:].set_visible(False)
  return axes


def curves_figure(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
  """Draws the metrics of a run: a panel for each value of each stage.

  If a step has several numbers (seeds, sets), the line is their mean and the
  band their range. Seconds, rates (`..._s`) and bytes are left out.

  Args:
    path: the PNG file.
    records: what `jaxkd.runtime.metrics.read_metrics` returns.
  """
  curves: dict[tuple[str, str], dict[int, list[np.ndarray]]] = {}
  for record in records:
    for name, numbers in numbers_of(record).items():
      if not name.endswith(("_s", "seconds", "bytes")):
        curve = curves.setdefault((record["stage"], name), {})
        curve.setdefault(record["step"], []).append(numbers)
  columns = min(3, max(len(curves), 1))
  rows = max(-(-len(curves) // columns), 1)
  figure = Figure((3.3 * columns, 2.4 * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes, ((stage, name), curve) in zip(panels, curves.items(), strict=False):
    _draw_curve(axes, curve, PALETTE[STAGE_COLOURS.get(stage, 7)])
    axes.set_title(f"{stage}: {name.replace('_', ' ')}", loc="left", fontsize=9)
  for axes in panels[len(curves) :]:
    axes.set_axis_off()
  figure.supxlabel("step", fontsize=8, color=FAINT)
  if not curves:
    panels[0].text(0.5, 0.5, "there are no metrics", ha="center", color=FAINT)
  save_figure(path, figure, dpi=DPI)


def _draw_curve(
  axes: Axes, curve: dict[int, list[np.ndarray]], colour: np.ndarray
) -> None:
  steps = sorted(curve)
  values = [np.concatenate(curve[step]) for step in steps]
  marker = "o" if len(steps) < 15 else None
  means = [numbers.mean() for numbers in values]
  axes.plot(steps, means, color=colour, lw=1.6, marker=marker, ms=3)
  low, high = zip(*[(n.min(), n.max()) for n in values], strict=True)
  axes.fill_between(steps, low, high, color=colour, alpha=0.18, lw=0)
  axes.grid(color="#e4e4e4", lw=0.6)
  mute_frame(axes)
  axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
  axes.yaxis.set_major_locator(MaxNLocator(5))


def decision_boundary_figure(
  path: str | Path,
  teacher: Classifier,
  student: Classifier,
  points: Array,
  labels: Array,
  data_points: Array | None = None,
) -> None:
  """Draws the decision boundaries of a teacher and a student of 2-D points.

  Areas are the teacher's classes, the black line is the student's boundary,
  dots are synthetic points in the colour of their target class.

  Args:
    path: the PNG file.
    teacher: a classifier of points `[B, 2]`.
    student: a classifier of points `[B, 2]`.
    points: `[N, 2]` synthetic points.
    labels: `[N]` target classes.
    data_points: `[M, 2]` real points, which methods do not see.
  """
  points, labels = np.asarray(points), np.asarray(labels)
  real = points if data_points is None else np.asarray(data_points)
  (left, bottom), (right, top) = _window(np.concatenate([points, real]))
  xs, ys = np.linspace(left, right, 400), np.linspace(bottom, top, 400)
  grid = np.stack(np.meshgrid(xs, ys), -1).astype(np.float32)

  def logits(classifier: Classifier) -> np.ndarray:
    flat = np.asarray(classifier(grid.reshape(-1, 2)).logits)
    return flat.reshape(*grid.shape[:2], -1)

  figure = Figure((5.2, 5), layout="constrained")
  axes = figure.add_subplot()
  colours = PALETTE[np.arange(logits(teacher).shape[-1]) % len(PALETTE)]
  extent = {"extent": (left, right, bottom, top), "origin": "lower"}
  areas = (0.7 + 0.3 * colours)[logits(teacher).argmax(-1)]
  axes.imshow(areas, aspect="auto", interpolation="bilinear", **extent)
  square = {"marker": "s", "s": 60, "color": 0.7 + 0.3 * PALETTE[0]}
  axes.scatter([], [], **square, label="teacher's classes (areas)")
  axes.plot([], [], color=INK, lw=2, label="student's boundary")
  dots = {"s": 18, "edgecolors": "white", "linewidths": 0.5, "zorder": 3}
  label = "synthetic points, by target class"
  axes.scatter(*points.T, color=colours[labels], label=label, **dots)
  if data_points is not None:
    axes.scatter(*real.T, s=6, color=FAINT, lw=0, label="real points (unseen)")
  for margin in _margins(logits(student)):
    axes.contour(xs, ys, margin, levels=[0], colors=INK, linewidths=2)
  axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
  figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
  save_figure(path, figure, dpi=DPI)


def _window(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns corners around all but the farthest points, with a margin."""
  low, high = np.percentile(points, (0.5, 99.5), axis=0)
  margin = 0.12 * np.maximum(high - low, 1e-3)
  return low - margin, high + margin


def _margins(logits: np.ndarray) -> list[np.ndarray]:
  """Computes each class' logit minus the largest other one, if it has zeros.

  Of two classes, only the first is computed: the other is its negative.
  """
  num_classes = logits.shape[-1]
  margins = []
  for label in range(num_classes if num_classes > 2 else 1):
    others = np.delete(logits, label, axis=-1).max(-1)
    margin = logits[..., label] - others
    if margin.min() < 0 < margin.max():
      margins.append(margin)
  return margins
