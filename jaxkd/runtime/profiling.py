"""Profiler traces and the peak memory of a run."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
import resource
import sys

import jax

from jaxkd.runtime import processes


@contextlib.contextmanager
def traced(steps: range, folder: Path, count: int) -> Iterator[Iterator[int]]:
  """Yields an iterator over the steps of a loop that traces `count` of them.

  The first step, which compiles, is not traced unless it is the only one. Of
  several processes only the first writes a trace.

  Args:
    steps: steps of the loop.
    folder: for the trace; traces of an earlier part of the run stay in it.
    count: number of steps to trace, or 0.
  """
  if not (count and steps and processes.is_primary()):
    yield iter(steps)
    return
  first = steps.start + (len(steps) > 1)
  with contextlib.ExitStack() as trace:

    def trace_steps() -> Iterator[int]:
      for step in steps:
        if step == first:
          trace.enter_context(jax.profiler.trace(folder))
        yield step
        if step == first + count - 1:
          trace.close()

    yield trace_steps()


def peak_bytes() -> int:
  """Returns the peak memory since the process began, in bytes.

  It is the largest peak of the local devices or, where devices do not report
  one (the CPU), the peak resident memory of the process.
  """
  peak = max(map(_peak_of, jax.local_devices()))
  if peak:
    return peak
  resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return resident * (1 if sys.platform == "darwin" else 1024)


def memory_scope() -> str:
  """Returns whose memory `peak_bytes` measures, `device` or `process`."""
  return "device" if any(map(_peak_of, jax.local_devices())) else "process"


def _peak_of(device: jax.Device) -> int:
  return (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
