"""Timing of several programs whose runs alternate."""

from collections.abc import Callable, Hashable, Mapping
import statistics
import time
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
# A shorter run is repeated for so long and its mean is taken, because a single
# run of a few milliseconds depends on what else the machine does.
SHORTEST_S = 0.25


def interleaved(
  runs: Mapping[Name, Callable[[], object]], repeats: int
) -> dict[Name, float]:
  """Times runs in alternation; returns the median seconds of each.

  Args:
    runs: compiled runs by name, each of which waits for its result.
    repeats: the number of times that each is timed.
  """
  times: dict[Name, list[float]] = {name: [] for name in runs}
  for _ in range(repeats):
    for name, run in runs.items():
      times[name].append(seconds(run, SHORTEST_S))
  return {name: statistics.median(values) for name, values in times.items()}


def seconds(run: Callable[[], object], shortest: float = 0.0) -> float:
  """Returns the mean seconds of calls that take `shortest` seconds together."""
  began, count, elapsed = time.perf_counter(), 0, 0.0
  while not count or elapsed < shortest:
    run()
    count += 1
    elapsed = time.perf_counter() - began
  return elapsed / count
