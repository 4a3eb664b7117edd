"""The frame of a figure's axes, and its PNG file."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxkd.runtime.files import atomic_write

FAINT = "#777777"  # of frames, ticks and captions


def mute_frame(axes: Axes) -> None:
  """Leaves two sides of the frame, and draws them and the ticks in grey."""
  axes.spines[["top", "right"]].set_visible(False)
  axes.spines[["left", "bottom"]].set_color(FAINT)
  axes.tick_params(colors=FAINT, labelsize=7)


def save_figure(path: Path, figure: Figure, **options: float | str) -> None:
  """Writes a figure atomically; `options` are those of `Figure.savefig`.

  Raises:
    JaxkdError: if the file can't be written.
  """
  with atomic_write(path) as partial:
    figure.savefig(partial, **options)
