"""Seconds, taken by turns."""

from collections.abc import Callable, Hashable, Mapping
import statistics
import time
from typing import Any, TypeVar

Name = TypeVar("Name", bound=Hashable)


def by_turns(
  runs: Mapping[Name, Callable[[], Any]], repeats: int
) -> dict[Name, float]:
  """Median seconds of each run.

  Args:
    runs: by name; warm, and each returns when its result is there.
    repeats: how often each is timed.
  """
  times: dict[Name, list[float]] = {name: [] for name in runs}
  for _ in range(repeats):
    for name, run in runs.items():
      times[name].append(seconds(run))
  return {name: statistics.median(taken) for name, taken in times.items()}


def seconds(run: Callable[[], Any]) -> float:
  """That one call takes."""
  began = time.perf_counter()
  run()
  return time.perf_counter() - began
