"""Leases of folders on buckets, which have no locks.

A lease is an object `.lease/NUMBER` that only one process can create. Its
holder writes it again every `RENEW_S` seconds; once that has not been done for
`EXPIRES_S` seconds, or the holder has given it up, another process may create
the next number. The highest number counts. Numbers never fall, so a process
that was too slow can't take a lease from one that was faster. Ages are
differences of times of the store, so the clocks of machines don't matter.
"""

from collections.abc import Iterator
import contextlib
import json
import math
import os
from pathlib import Path
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
import uuid

from jaxkd.errors import JaxkdError
from jaxkd.runtime import buckets, leases
from jaxkd.runtime.buckets import LEASES, LocalCopy

if TYPE_CHECKING:
  from fsspec import AbstractFileSystem

RENEW_S = 20.0
EXPIRES_S = 120.0


class Seen(NamedTuple):
  """The newest lease of a folder, as another process left it.

  Attributes:
    number: 0 if there was none.
    content: what its holder wrote last.
    age_s: seconds since then.
  """

  number: int
  content: dict[str, str | int]
  age_s: float

  def is_over(self) -> bool:
    """Returns whether another process may take the lease."""
    released = not self.content or self.content.get("released", False)
    return bool(released) or self.age_s >= EXPIRES_S


class BucketLease(contextlib.AbstractContextManager):
  """The lease of a folder on a bucket, held until the context ends.

  A holder that can't renew it in time must not write any more: `check` raises.
  A write that is under way at that moment may still arrive; stores have nothing
  that could prevent it.

  Args:
    copy: in which the folder is.
    folder: the local copy of the folder.

  Raises:
    InUse: if another process holds the lease.
    JaxkdError: if the store can't be used.
    Preempted: if a signal comes while it waits.
  """

  def __init__(self, copy: LocalCopy, folder: Path):
    self._fs, self._name = copy.fs, f"{copy.name(folder)}/{LEASES}"
    self._url = buckets.shown(folder)
    self._lock, self._ended = threading.Lock(), threading.Event()
    self._lost, self._count = False, 0
    self._owner = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
    before = self._wait()
    self._number = before.number + 1
    self._renewed = time.monotonic()
    with buckets.reached(self._url):
      try:
        self._write("create")
      except FileExistsError as error:
        raise self._in_use() from error
      # Its holder may have renewed it since; it looks for this one after that.
      now = look(self._fs, self._name, self._url, below=self._number)
      newest = max(_numbers(self._fs, self._name))
      if (newest, now.content) != (self._number, before.content):
        self._fs.rm_file(f"{self._name}/{self._number}")
        raise self._in_use()
      if before.number:
        self._fs.rm_file(f"{self._name}/{before.number}")
    self._thread = threading.Thread(target=self._keep, daemon=True)
    self._thread.start()

  def _wait(self) -> Seen:
    """Returns the newest lease, once it is over."""
    first = seen = look(self._fs, self._name, self._url)
    while not seen.is_over():
      if seen.content != first.content or seen.number != first.number:
        raise self._in_use()
      if seen is first:
        print(
          f"{self._url} is in use, or its process has died: it is taken over "
          f"if that is silent for {EXPIRES_S - seen.age_s:.0f} s.",
          flush=True,
        )
      leases.pause()
      seen = look(self._fs, self._name, self._url)
    return seen

  def _in_use(self) -> leases.InUse:
    return leases.InUse(f"{self._url} is in use by another process.")

  def _write(self, mode: str = "overwrite", *, released: bool = False) -> None:
    self._count += 1
    content = {"owner": self._owner, "count": self._count, "released": released}
    self._fs.pipe_file(
      f"{self._name}/{self._number}", json.dumps(content).encode(), mode=mode
    )

  def _renew(self) -> None:
    with self._lock:
      if self._lost or self._ended.is_set():
        return
      began = time.monotonic()
      self._write()
      self._lost = max(_numbers(self._fs, self._name)) > self._number
      self._renewed = began

  def _keep(self) -> None:
    while not self._lost and not self._ended.wait(RENEW_S):
      # The store may be out of reach for a while; `check` knows how long.
      with contextlib.suppress(JaxkdError), buckets.reached(self._url):
        self._renew()

  def check(self) -> None:
    """Renews the lease if that is late.

    Raises:
      JaxkdError: if another process has taken the lease over, or if the store
        can't be used.
    """
    if time.monotonic() - self._renewed > EXPIRES_S / 2:
      with buckets.reached(self._url):
        self._renew()
    if self._lost:
      raise JaxkdError(
        f"Another process has taken {self._url} over, because this one could "
        f"not renew its lease for {EXPIRES_S:.0f} s. That one goes on."
      )

  def __exit__(self, *exception: object) -> None:
    self._ended.set()
    self._thread.join()
    if not self._lost:
      with buckets.reached(self._url):
        self._write(released=True)


@contextlib.contextmanager
def held(copy: LocalCopy, folder: Path, *, shared: bool) -> Iterator[None]:
  """Holds the lease of a folder, with what is on the bucket in its local copy.

  Processes that share a folder, that of a table, have no lease: each file there
  is whole, whichever of them wrote it last.

  Raises:
    InUse: if another process holds the lease.
    JaxkdError: if the store can't be used.
    Preempted: if a signal comes while it waits.
  """
  with contextlib.ExitStack() as stack:
    if not shared:
      lease = stack.enter_context(BucketLease(copy, folder))
      # What is here may be older than what another process has left there.
      shutil.rmtree(folder, ignore_errors=True)
      copy.checks[folder] = lease.check
      stack.callback(copy.checks.pop, folder)
    folder.mkdir(parents=True, exist_ok=True)
    buckets.fetch(folder)
    stack.callback(buckets.upload_rest, folder)
    yield


def is_free(copy: LocalCopy, folder: Path) -> bool:
  """Returns whether no process holds the lease of a folder."""
  name = f"{copy.name(folder)}/{LEASES}"
  return look(copy.fs, name, buckets.shown(folder)).is_over()


def look(
  fs: "AbstractFileSystem", name: str, url: str, below: float = math.inf
) -> Seen:
  """Reads the newest lease in a folder of leases, with a number `below`."""
  with buckets.reached(url):
    while True:
      numbers = [each for each in _numbers(fs, name) if each < below]
      number = max(numbers, default=0)
      if not number:
        return Seen(0, {}, 0.0)
      now = f"{name}/now-{uuid.uuid4().hex}"
      fs.pipe_file(now, b"now")
      try:
        content = json.loads(fs.cat_file(f"{name}/{number}"))
        age = fs.modified(now) - fs.modified(f"{name}/{number}")
      except FileNotFoundError:  # a newer one has just taken its place
        continue
      finally:
        fs.rm_file(now)
      return Seen(number, content, age.total_seconds())


def _numbers(fs: "AbstractFileSystem", name: str) -> list[int]:
  last = (path.rpartition("/")[2] for path in fs.find(name))
  return [int(text) for text in last if text.isdigit()]
