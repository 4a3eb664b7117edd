"""Leases of files, which processes of one or of several machines share.

A lease ends with the process that holds it, however that ends. Machines see
each other's where the disk that they share passes locks on, as NFS does.
"""

from collections.abc import Iterator
import contextlib
import fcntl
from pathlib import Path
import time
from typing import IO

from jaxkd.runtime import checkpoints
from jaxkd.types import JaxkdError

POLL_S = 1.0  # between two looks at a lease that another process holds


class InUse(JaxkdError):
  """Another process holds the lease."""


def take(path: Path, *, shared: bool = False) -> IO[str]:
  """Takes the lease of a file; it ends when the returned file is closed.

  Args:
    path: of the file, which is made if it is missing.
    shared: whether others may have the lease as well, if theirs is shared.

  Raises:
    InUse: if another process holds the lease.
    OSError: if the file can't be made, or the disk has no locks.
  """
  lease = path.open("a")
  kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
  try:
    fcntl.flock(lease, kind | fcntl.LOCK_NB)
  except BlockingIOError as error:
    lease.close()
    raise InUse(f"{path} is in use by another process.") from error
  except OSError:
    lease.close()
    raise
  return lease


def is_free(path: Path) -> bool:
  """Returns whether no process holds the lease of a file."""
  if not path.exists():
    return True
  try:
    take(path).close()
  except InUse:
    return False
  return True


@contextlib.contextmanager
def held(path: Path, waiting: str) -> Iterator[None]:
  """Holds the lease of a file, once other processes have ended theirs.

  Args:
    path: of the file.
    waiting: is printed if another process holds it.

  Raises:
    OSError: if the file can't be made, or the disk has no locks.
    Preempted: if a signal comes while it waits.
  """
  lease = None
  while lease is None:
    try:
      lease = take(path)
    except InUse:
      if waiting:
        print(waiting, flush=True)
      waiting = ""
      pause()
  with lease:
    yield


def pause() -> None:
  """Waits for `POLL_S` seconds.

  Raises:
    Preempted: if a signal has told this process to stop.
  """
  time.sleep(POLL_S)
  if checkpoints.stopping():
    raise checkpoints.Preempted
