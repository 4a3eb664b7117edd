"""Coordination of several processes that run the same program at once.

What may differ between processes, such as the clock, a signal or a file, is
agreed on with these functions before anything depends on it. The first process
writes the files of a run.
"""

from collections.abc import Iterator
import contextlib

import chex
import jax
from jax.experimental import multihost_utils
import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError

MAX_MESSAGE_BYTES = 2048  # of an error message that is sent to all processes


def join(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  *,
  initialization_s: int,
  heartbeat_s: int,
) -> None:
  """Joins this process with the others; call it before any computation.

  On Slurm, Open MPI, Kubernetes and TPU pods the first three arguments are
  detected and may be left out.

  Args:
    coordinator: `HOST:PORT` at which the first process may listen.
    num_processes: number of processes.
    process_id: number of this process, from 0.
    initialization_s: seconds to wait for the other processes to start.
    heartbeat_s: seconds of silence after which a process counts as dead and
      all others end.

  Raises:
    JaxkdError: if only some of the first three are given, if the processes
      cannot be connected, or if no cluster is detected.
  """
  given = (coordinator, num_processes, process_id)
  if any(part is not None for part in given) and None in given:
    raise JaxkdError(
      "--coordinator, --num_processes and --process_id belong together; give "
      "all of them, or none where the cluster provides them."
    )
  if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
    raise JaxkdError(
      f"--coordinator={coordinator} is no address; write HOST:PORT."
    )
  try:
    jax.distributed.initialize(
      *given,
      initialization_timeout=initialization_s,
      heartbeat_timeout_seconds=heartbeat_s,
    )
  except (RuntimeError, ValueError) as error:
    hint = "" if coordinator else (
      " Where no cluster provides them, give --coordinator, --num_processes "
      "and --process_id."
    )  # fmt: skip
    raise JaxkdError(f"--distributed: {error}{hint}") from error


def is_multiprocess() -> bool:
  """Returns whether there are other processes."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_primary() -> bool:
  """Returns whether this is the first process, or the only one."""
  return not is_multiprocess() or jax.process_index() == 0


@contextlib.contextmanager
def raise_on_all() -> Iterator[None]:
  """Raises an exception of one process on all of them, as a `JaxkdError`.

  Every process has to enter this context; they leave it together.
  """
  if not is_multiprocess():
    yield
    return
  try:
    yield
  except Exception as error:
    _exchange(f"{type(error).__name__} {error}")
    raise
  for message in filter(None, _exchange("")):
    name, _, text = message.partition(" ")
    raise (BudgetExhausted if name == "BudgetExhausted" else JaxkdError)(text)


def _exchange(message: str) -> list[str]:
  """Returns the messages of all processes."""
  text = message.encode()[:MAX_MESSAGE_BYTES]
  padded = np.zeros(MAX_MESSAGE_BYTES, np.uint8)
  padded[: len(text)] = np.frombuffer(text, np.uint8)
  rows = multihost_utils.process_allgather(padded)
  return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]


def check_same(what: str, text: str) -> None:
  """Checks that all processes have the same text.

  Args:
    what: name of what the text describes, for the message.
    text: e.g. the config of the run.

  Raises:
    JaxkdError: on all processes, if their texts differ.
  """
  if is_multiprocess() and len(set(_exchange(text))) > 1:
    raise JaxkdError(
      f"The processes differ in {what}; start all of them with the same "
      "command and the same data."
    )


def broadcast(number: int) -> int:
  """Returns the number that the first process passes."""
  if not is_multiprocess():
    return number
  return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def broadcast_arrays(tree: chex.ArrayTree) -> chex.ArrayTree:
  """Returns the arrays that the first process passes."""
  if not is_multiprocess():
    return tree
  return multihost_utils.broadcast_one_to_all(tree)


def any_process(*flags: bool) -> tuple[bool, ...]:
  """Returns for each flag whether it is true on at least one process."""
  if not is_multiprocess():
    return flags
  return tuple(multihost_utils.process_allgather(np.array(flags)).any(0))
