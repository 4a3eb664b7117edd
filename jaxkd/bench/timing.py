"""Seconds, taken by turns."""

from collections.abc import Callable, Hashable, Mapping
import statistics
import time
from typing import Any, TypeVar

Name = TypeVar("Name", bound=Hashable)
# What is over sooner is run again and again within one turn: a single run of a
# few milliseconds says more of what else the machine does.
SHORTEST_S = 0.25


def interleaved(
  runs: Mapping[Name, Callable[[], Any]], repeats: int
) -> dict[Name, float]:
  """Median seconds of each run over its turns.

  Args:
    runs: by name; warm, and each returns when its result is there.
    repeats: how many turns each has.
  """
  times: dict[Name, list[float]] = {name: [] for name in runs}
  for _ in range(repeats):
    for name, run in runs.items():
      times[name].append(seconds(run, SHORTEST_S))
  return {name: statistics.median(taken) for name, taken in times.items()}


def seconds(run: Callable[[], Any], shortest: float = 0.0) -> float:
  """That one call takes: the mean of as many as fill `shortest` seconds."""
  began, count, taken = time.perf_counter(), 0, 0.0
  while not count or taken < shortest:
    run()
    count += 1
    taken = time.perf_counter() - began
  return taken / count
