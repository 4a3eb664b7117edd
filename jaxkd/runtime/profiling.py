"""Profiler traces of the steps of a run, for XProf or TensorBoard."""

from collections.abc import Iterator
import contextlib
from pathlib import Path

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
