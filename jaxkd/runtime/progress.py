"""Progress of a run on the terminal."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress as RichProgress, TextColumn

from jaxkd.runtime import processes
from jaxkd.runtime.formatting import duration

SECONDS_BETWEEN_LINES = 5.0


class Progress:
  """Shows the progress of a loop: a bar in a terminal, plain lines elsewhere.

  Both show the count, the rate, the time left and the latest values. Plain
  lines are printed at most every five seconds, and once at the end. Of several
  processes only the first shows anything.

  Args:
    total: number of units of the loop.
    label: name of the loop, e.g. `student`.
    unit: name of what is counted, in the plural, e.g. `epochs`.
    done: number of units that were done before a resume.
  """

  def __init__(self, total: int, label: str, unit: str, done: int = 0):
    self._total, self._label, self._unit = total, label, unit
    self._before = self._done = done
    self._shown = -1
    self._values: dict[str, float] = {}
    self._start = self._printed = time.monotonic()
    self._console = Console(quiet=not processes.is_primary())
    self._bar = None

  def __enter__(self) -> "Progress":
    self._start = self._printed = time.monotonic()
    if self._console.is_terminal:
      self._bar = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
        console=self._console,
      )
      self._bar.start()
      self._task = self._bar.add_task(
        f"{self._label:10}", total=self._total, status=self._status()
      )
    return self

  def advance(self, n: int = 1, **values: float) -> None:
    """Counts `n` more units and shows `values` from now on."""
    self._done += n
    self._values |= values
    if self._bar:
      self._bar.update(self._task, completed=self._done, status=self._status())
    elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
      self._print_line()

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()
    elif self._shown != self._done:
      self._print_line()

  def _print_line(self) -> None:
    self._printed, self._shown = time.monotonic(), self._done
    if not self._console.quiet:
      print(f"{self._label:10} {self._status()}", flush=True)

  def _status(self) -> str:
    elapsed = time.monotonic() - self._start
    parts = [f"{self._done:,}/{self._total:,} {self._unit}"]
    if self._done > self._before and elapsed > 0:
      rate = (self._done - self._before) / elapsed
      shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}"
      parts.append(f"{shown} {self._unit}/s")
      left = max(self._total - self._done, 0) / rate
      time_left = f"{duration(left)} left"
      parts.append(time_left if left else f"in {duration(elapsed)}")
    parts += [f"{name} {float(v):.4g}" for name, v in self._values.items()]
    return "  ".join(parts)
