"""Several processes that run the same program at the same time."""

from collections.abc import Iterator
import contextlib

import jax
from jax.experimental import multihost_utils
import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError

LONGEST_MESSAGE = 2048  # bytes of an error that processes tell each other


def join(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  *,
  initialization_s: int,
  heartbeat_s: int,
) -> None:
  """Makes this process one of several; before anything is computed.

  Slurm, Open MPI, Kubernetes and TPU pods say themselves who the others are.

  Args:
    coordinator: `HOST:PORT` at which the first process may listen.
    num_processes: how many there are.
    process_id: which of them this is, from 0.
    initialization_s: seconds to wait for the others to start.
    heartbeat_s: seconds of silence after which a process counts as dead, and
      all others end.

  Raises:
    JaxkdError: if only some of the first three are given, if they can't be, or
      if nobody knows who the others are.
  """
  given = (coordinator, num_processes, process_id)
  if any(part is not None for part in given) and None in given:
    raise JaxkdError(
      "--coordinator, --num_processes and --process_id belong together; give "
      "all of them, or none where the cluster knows them."
    )
  if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
    raise JaxkdError(f"--coordinator={coordinator}: write HOST:PORT.")
  try:
    jax.distributed.initialize(
      *given,
      initialization_timeout=initialization_s,
      heartbeat_timeout_seconds=heartbeat_s,
    )
  except (RuntimeError, ValueError) as error:
    hint = "" if coordinator else (
      " Where no cluster says who the others are, give --coordinator, "
      "--num_processes and --process_id."
    )  # fmt: skip
    raise JaxkdError(f"--distributed: {error}{hint}") from error


def is_multiprocess() -> bool:
  """Whether there are other processes."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_primary() -> bool:
  """Whether this is the first process, or the only one."""
  return not is_multiprocess() or jax.process_index() == 0


@contextlib.contextmanager
def raise_on_all() -> Iterator[None]:
  """All processes get here, and go on together: what one of them raises inside
  the others raise as well, as a `JaxkdError`.
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
  """The messages of all processes."""
  text = message.encode()[:LONGEST_MESSAGE]
  mine = np.zeros(LONGEST_MESSAGE, np.uint8)
  mine[: len(text)] = np.frombuffer(text, np.uint8)
  rows = multihost_utils.process_allgather(mine)
  return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]


def check_same(what: str, text: str) -> None:
  """Refuses processes that have set out to do different things.

  Raises:
    JaxkdError: on all of them, if their texts differ.
  """
  if is_multiprocess() and len(set(_exchange(text))) > 1:
    raise JaxkdError(
      f"The processes differ in {what}; start all with the same command on the "
      "same data."
    )


def broadcast(number: int) -> int:
  """What the first process says."""
  if not is_multiprocess():
    return number
  return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def any_process(*flags: bool) -> tuple[bool, ...]:
  """Which of the flags are up on some process."""
  if not is_multiprocess():
    return flags
  return tuple(multihost_utils.process_allgather(np.array(flags)).any(0))
