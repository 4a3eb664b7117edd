"""Checkpoints of everything that a stage needs to go on, and clean stops."""

import logging
from pathlib import Path
import signal
import sys
import threading
import time
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxkd.runtime import processes
from jaxkd.types import JaxkdError

_stop = threading.Event()


class Preempted(Exception):  # noqa: N818 (not an error)
  """Raised at the first safe point after a signal, with the state saved; on
  every process after a signal to one of them.
  """


def stop_on_signals() -> dict[str, int]:
  """From now on SIGTERM and SIGINT stop the run at the next safe point.

  Returns:
    A dict whose `signal` holds the number of the signal that came; it stays
    empty where another process was signalled.
  """
  received: dict[str, int] = {}

  def handle(number: int, frame: Any) -> None:
    del frame
    received["signal"] = number
    _stop.set()

  signal.signal(signal.SIGTERM, handle)
  signal.signal(signal.SIGINT, handle)
  return received


def stopping() -> bool:
  """Whether the run was told to stop."""
  return _stop.is_set()


class Checkpoints:
  """The saved states of one stage, in a directory of their own.

  Orbax makes a step visible by renaming its finished directory, so a process
  that is killed at any instant leaves the last complete step. All processes
  take part, on a disk that they share, with trees that `parallel.replicate`
  laid.
  """

  def __init__(self, directory: Path, every_s: float = 10.0):
    self._directory = Path(directory).absolute()
    self._every_s = every_s
    self._manager = ocp.CheckpointManager(
      self._directory,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=2, enable_async_checkpointing=False
      ),
    )
    self._saved_at = time.monotonic()
    self._cost_s = 0.0

  def restore(self, target: Any) -> Any | None:
    """The newest state, with the structure, types and shardings of `target`;
    None if nothing was saved.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    # Where a file is damaged, Orbax's threads complain on their own account,
    # also later; that would bury the message.
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    logger.disabled, sys.unraisablehook = True, lambda unraisable: None
    try:
      tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
    except Exception as error:  # Orbax and tensorstore raise many kinds
      raise JaxkdError(
        f"The checkpoint {self._directory / str(step)} can't be read "
        f"({type(error).__name__}). Delete {self._directory} to do this stage "
        "again, or choose another --workdir."
      ) from error
    logger.disabled, sys.unraisablehook = False, hook
    return tree

  def maybe_save(self, step: int, tree: Any, last: bool = False) -> None:
    """Saves `tree` as `step` if it is time, if it is the last, or if the run
    was told to stop; raises `Preempted` after saving in that case. One process
    for which it is time, or which was told, decides for all.

    Saving takes at most about a tenth of the time, however large the tree.
    """
    wait_s = max(self._every_s, 10 * self._cost_s)
    due = time.monotonic() - self._saved_at >= wait_s
    stop, due = processes.any_process(_stop.is_set(), due)
    if last or stop or due:
      self._save(step, tree)
    if stop:
      raise Preempted

  def _save(self, step: int, tree: Any) -> None:
    jax.block_until_ready(tree)
    started = time.monotonic()
    self._manager.save(step, args=ocp.args.StandardSave(tree), force=True)
    self._saved_at = time.monotonic()
    self._cost_s = self._saved_at - started

  def close(self) -> None:
    self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *exception: Any) -> None:
    self.close()
