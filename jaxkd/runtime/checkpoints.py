"""Checkpoints of the stages of a run, and clean stops on signals."""

from collections.abc import Iterator
import contextlib
import logging
from pathlib import Path
import signal
import sys
import threading
import time
from types import FrameType
from typing import TypeVar

import jax
import orbax.checkpoint as ocp

from jaxkd.runtime import buckets, devices, files, processes
from jaxkd.types import JaxkdError

Tree = TypeVar("Tree")  # a pytree of arrays

_stop = threading.Event()


class Preempted(Exception):  # not an error
  """Raised when a signal has stopped the run, after its state was saved.

  It is raised on every process, also if only one of them got the signal.
  """


def stop_on_signals() -> dict[str, int]:
  """Makes SIGTERM and SIGINT stop the run when its state is next saved.

  Returns:
    A dict whose `signal` will hold the number of the signal that arrived; it
    stays empty if only another process got one.
  """
  received: dict[str, int] = {}

  def handle(number: int, frame: FrameType | None) -> None:
    del frame
    received["signal"] = number
    _stop.set()

  signal.signal(signal.SIGTERM, handle)
  signal.signal(signal.SIGINT, handle)
  return received


def stopping() -> bool:
  """Returns whether a signal has told the run to stop."""
  return _stop.is_set()


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
  """Silences Orbax's threads, whose errors are raised here as well.

  Where a file is damaged or the disk is full they print tracebacks of their
  own, also later, so they stay silent after an exception.
  """
  loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
  before = [logger.disabled for logger in loggers], sys.unraisablehook
  for logger in loggers:
    logger.disabled = True
  sys.unraisablehook = lambda unraisable: None
  yield
  for logger, disabled in zip(loggers, before[0], strict=True):
    logger.disabled = disabled
  sys.unraisablehook = before[1]


def _is_key(leaf: object) -> bool:
  return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
    leaf.dtype, jax.dtypes.prng_key
  )


def _as_numpy(tree: Tree) -> Tree:
  """Copies a tree to the host: Orbax refuses arrays of one of many hosts."""
  local = jax.tree.map(
    lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf,
    devices.to_local(tree),
  )
  return jax.device_get(local)


def _from_numpy(tree: Tree, like: Tree) -> Tree:
  """Places what `_as_numpy` made of a tree `like` this one on all devices."""
  return devices.replicate(
    jax.tree.map(
      lambda leaf, key: (
        jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(key))
        if _is_key(key)
        else leaf
      ),
      tree,
      like,
    )
  )


class Checkpoints:
  """The checkpoints of one stage of a run, in a directory of their own.

  Orbax makes a step visible by renaming its finished directory, so a process
  that is killed at any instant leaves the last complete step. All processes
  take part, on a disk that they share, with trees that
  `jaxkd.runtime.devices.replicate` has placed.

  Args:
    directory: for the checkpoints; made if missing.
    every_s: seconds between two saves, at least.
  """

  def __init__(self, directory: Path, every_s: float = 10.0):
    self._directory = Path(directory).absolute()
    self._every_s = every_s
    # Each process then has a copy of the folder, and the first one saves.
    self._alone = processes.is_multiprocess() and buckets.find(directory)
    buckets.fetch_steps(self._directory)
    self._manager = self._open()
    self._saved_at = time.monotonic()
    self._cost_s = 0.0

  def _open(self) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
      max_to_keep=2, enable_async_checkpointing=False
    )
    if self._alone:
      index = jax.process_index()
      self._directory.mkdir(parents=True, exist_ok=True)
      options.create = False
      options.multiprocessing_options = ocp.options.MultiprocessingOptions(
        primary_host=index,
        active_processes={index},
        barrier_sync_key_prefix=f"process{index}",
      )
    try:
      with _quiet_threads():
        return ocp.CheckpointManager(self._directory, options=options)
    except OSError as error:
      raise JaxkdError(
        f"Cannot write {self._directory}: {error.strerror}. Give access, or "
        "move what is in its way; the same command goes on."
      ) from error

  def restore(self, target: Tree) -> Tree | None:
    """Returns the newest saved state, or None if nothing was saved.

    If that is damaged, it is deleted, and the one before is returned.

    Args:
      target: a tree whose structure, types and shardings the state gets.

    Raises:
      JaxkdError: if no checkpoint can be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    damaged: dict[int, Exception] = {}
    for step in steps:
      try:
        tree = self._read(step, target)
      except Exception as error:  # Orbax and tensorstore raise many kinds
        if reason := files.system_failure(error):
          raise JaxkdError(
            f"Cannot read {self._directory / str(step)}: {reason}. Give "
            "access, and run the same command to continue."
          ) from error
        damaged[step] = error
        # A manager that met a step without its items can't read others.
        self._manager.close()
        self._manager = self._open()
        continue
      for other in damaged:
        print(
          f"The checkpoint {buckets.shown(self._directory / str(other))} is "
          f"damaged; the run goes on from the one before, {step}.",
          flush=True,
        )
        self._delete(other)
      return tree
    if not steps:
      return None
    error = damaged[steps[0]]
    raise JaxkdError(
      f"The checkpoint {self._directory / str(steps[0])} cannot be read "
      f"({type(error).__name__}). Delete {self._directory} to run this stage "
      "again, or choose another --workdir."
    ) from error

  def _delete(self, step: int) -> None:
    try:
      self._manager.delete(step)
      buckets.upload_steps(self._directory)
    except OSError as error:
      raise JaxkdError(
        f"Cannot delete {self._directory / str(step)}: {error.strerror}. Give "
        "access, or move it away; the same command goes on."
      ) from error

  def _read(self, step: int, target: Tree) -> Tree:
    """Reads the state of one step."""
    like = _as_numpy(target) if self._alone else target
    with _quiet_threads():
      tree = self._manager.restore(step, args=ocp.args.StandardRestore(like))
    return _from_numpy(tree, target) if self._alone else tree

  def maybe_save(self, step: int, tree: Tree, last: bool = False) -> None:
    """Saves `tree` as `step` if a save is due, or if the run has to stop.

    A save is due after `every_s` seconds, or after ten times as long as the
    last save took, so that at most about a tenth of the time goes into saving.
    If a save is due or a signal arrived on one process, all processes save.

    Args:
      step: number of the step, larger than that of the last save.
      tree: the state to save.
      last: whether this is the last step of the stage, which is always saved.

    Raises:
      Preempted: after saving, if a signal has told the run to stop.
    """
    wait_s = max(self._every_s, 10 * self._cost_s)
    due = time.monotonic() - self._saved_at >= wait_s
    stop, due = processes.any_process(_stop.is_set(), due)
    if last or stop or due:
      self._save(step, tree)
    if stop:
      raise Preempted

  def _save(self, step: int, tree: Tree) -> None:
    jax.block_until_ready(tree)
    started = time.monotonic()
    if self._alone:
      tree = _as_numpy(tree)
    try:
      if not self._alone or processes.is_primary():
        with _quiet_threads():
          self._manager.save(step, args=ocp.args.StandardSave(tree), force=True)
    except Exception as error:  # Orbax wraps those of the operating system
      reason = files.system_failure(error) or files.in_the_way(error)
      if reason is None:
        raise
      raise JaxkdError(
        f"Cannot write {self._directory}: {reason}. Make room or give access, "
        "and run the same command to continue."
      ) from error
    with processes.raise_on_all() if self._alone else contextlib.nullcontext():
      buckets.upload_steps(self._directory)
    self._saved_at = time.monotonic()
    self._cost_s = self._saved_at - started

  def close(self) -> None:
    """Ends the use of the directory; the checkpoints stay."""
    self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()
