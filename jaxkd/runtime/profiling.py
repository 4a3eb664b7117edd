"""Traces of a run, for XProf or TensorBoard: where the time goes."""

from collections.abc import Iterator
import contextlib
from pathlib import Path

import jax

from jaxkd.runtime import processes


@contextlib.contextmanager
def traced(turns: range, folder: Path, count: int) -> Iterator[Iterator[int]]:
  """The turns of a loop, of which `count` are traced.

  The first, which compiles, is left out unless it is the only one. Of several
  processes only the first keeps a trace.

  Args:
    turns: of the loop.
    folder: where the trace goes; one of an earlier part of the run stays.
    count: how many turns to trace; 0 is none.
  """
  if not (count and turns and processes.is_primary()):
    yield iter(turns)
    return
  begin = turns.start + (len(turns) > 1)
  with contextlib.ExitStack() as trace:

    def watched() -> Iterator[int]:
      for turn in turns:
        if turn == begin:
          trace.enter_context(jax.profiler.trace(folder))
        yield turn
        if turn == begin + count - 1:
          trace.close()

    yield watched()
