"""Writes a figure as a PNG file."""

from pathlib import Path

from matplotlib.figure import Figure

from jaxkd.runtime.files import atomic_write


def save_figure(path: Path, figure: Figure, **options: float | str) -> None:
  """Writes a figure atomically; `options` are those of `Figure.savefig`.

  Raises:
    JaxkdError: if the file can't be written.
  """
  with atomic_write(path) as partial:
    figure.savefig(partial, **options)
