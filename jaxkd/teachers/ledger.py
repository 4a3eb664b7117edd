"""The query ledger: what a black box was asked, what it said, what it cost.

A file of JSON lines that only grows. Money is reserved on disk before a
request leaves, and an answer is on disk before anyone may use it:

  reserved (fsync) -> sent -> answered (fsync) | refused | unknown

So an answer on disk is never paid for again, and after a crash at most the
requests in flight are paid twice, and counted twice. A request without an end
counts as spent. Nobody can promise more without the server's help.

python -m jaxkd.teachers.ledger FILE
"""

from collections.abc import Sequence
import datetime
import fcntl
import json
import operator
import os
from pathlib import Path
import threading
from typing import Any

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.teachers.ledger_cli import main, read
from jaxkd.teachers.records import (
  QUERY_KINDS,
  VERSION,
  Answer,
  QueryTotals,
  add_checksum,
  digest,
  read_ledger,
  redact_url,
  to_json,
)

__all__ = [
  "Answer",
  "QUERY_KINDS",
  "Ledger",
  "QueryTotals",
  "digest",
  "main",
  "read",
]


class Ledger:
  """The one writer of a ledger; closed by `close` or at the end of a `with`.

  Opening makes the file or goes on in it: a torn last record is cut, and
  requests without an end become unknown. Threads may share a ledger.

  Args:
    path: the file; its folder exists.
    budget: the most images that may be spent over all sessions; None is no
      limit. It may be raised from session to session.
    price_per_1000: price of 1000 images, for the totals.

  Raises:
    JaxkdError: if the file can't be written, has another writer, is no ledger
      or is damaged, or if more is spent than the budget allows. Once a write
      has failed, every later one fails; the next session repairs the file.
  """

  def __init__(
    self,
    path: str | os.PathLike[str],
    *,
    budget: int | None = None,
    price_per_1000: float = 0.0,
  ):
    for name, value in (("budget", budget), ("price_per_1000", price_per_1000)):
      if value is not None and not value >= 0:
        raise JaxkdError(f"{name}={value}: it must be 0 or more.")
    self._path = Path(path)
    self._lock = threading.Lock()
    self._failure = ""
    try:
      self._file = self._path.open("ab", buffering=0)
      try:
        self._open(budget, price_per_1000)
      except BaseException:
        self._file.close()
        raise
    except OSError as error:
      raise JaxkdError(
        f"The query ledger {path} can't be opened for writing "
        f"({error.strerror})."
      ) from error

  def _open(self, budget: int | None, price_per_1000: float) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise JaxkdError(
        f"The query ledger {self._path} is in use by another run."
      ) from error
    self._tally, length = read_ledger(self._path)
    spent = self._tally.totals().spent
    if budget is not None and budget < spent:
      raise JaxkdError(
        f"queries.budget={budget}: {spent} images are spent already (ledger "
        f"{self._path}); set it to {spent} or more."
      )
    self._file.truncate(length)
    created = {"record": "created", "version": VERSION}
    opened = {
      "record": "opened",
      "budget": budget,
      "price_per_1000": price_per_1000,
    }
    lost = [
      {"record": "unknown", "request": request, "reason": "the run ended"}
      for request in self._tally.in_flight
    ]
    self._append(*([] if length else [created]), opened, *lost)
    _sync_folder(self._path.parent)

  def __enter__(self) -> "Ledger":
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def close(self) -> None:
    """Lets others write; what is in flight is unknown to them."""
    with self._lock:
      self._failure = f"The query ledger {self._path} is closed."
      self._file.close()

  def answer(self, digest: str) -> Answer | None:
    """The answer on disk for an image, None if it was never answered."""
    # Without the lock: a look-up never waits for another request's fsync.
    return self._tally.answers.get(digest)

  def totals(self) -> QueryTotals:
    """The counts so far, over all sessions."""
    with self._lock:
      return self._tally.totals()

  def reserve(self, digests: Sequence[str], kind: str = "train") -> int:
    """Sets the images of one request aside before they leave.

    Returns:
      The request's number, for `sent` and one of the three ends.

    Raises:
      BudgetExhausted: if the budget has less left; nothing is written.
    """
    with self._lock:
      self._check_room(len(digests), kind)
      request = self._tally.requests + 1
      self._append(
        {
          "record": "reserved",
          "request": request,
          "kind": kind,
          "images": list(digests),
        }
      )
      return request

  def sent(self, request: int) -> None:
    """Notes that the request's bytes are about to go out."""
    # No fsync: the reservation is on disk, and spent if nothing follows.
    self._go_on(request, "sent", sync=False)

  def answered(self, request: int, answers: Sequence[Answer]) -> None:
    """Keeps one label or one list of scores for each image, in order."""
    written = [to_json(answer) for answer in answers]
    self._go_on(request, "answered", answers=written)

  def refused(self, request: int, reason: str) -> None:
    """The server did not serve the request: nothing is spent."""
    self._go_on(request, "refused", reason=redact_url(reason))

  def unknown(self, request: int, reason: str) -> None:
    """Nobody knows whether the request was served: it stays spent."""
    self._go_on(request, "unknown", reason=redact_url(reason))

  def record_bulk(self, name: str, count: int, kind: str = "train") -> None:
    """Counts images that were answered in process, in bulk under a name.

    The same name again, as in a round that is played again, costs nothing.

    Raises:
      BudgetExhausted: if the budget has less left; nothing is written.
      JaxkdError: if the name stands for another count or kind.
    """
    count = operator.index(count)
    with self._lock:
      before = self._tally.booked.get(name)
      if before == (count, kind):
        return
      if before:
        raise JaxkdError(
          f"{name!r} is booked as {before[0]} {before[1]} images, now "
          f"{count} {kind} (ledger {self._path}); is it another run?"
        )
      self._check_room(count, kind)
      self._append(
        {"record": "booked", "name": name, "count": count, "kind": kind}
      )

  def _check_room(self, count: int, kind: str) -> None:
    if kind not in QUERY_KINDS:
      raise JaxkdError(
        f"Unknown kind of query {kind!r}; choose one of "
        f"{', '.join(QUERY_KINDS)}."
      )
    if count < 0:
      raise JaxkdError(f"count={count}: it must be 0 or more.")
    budget, spent = self._tally.budget, self._tally.totals().spent
    if budget is not None and spent + count > budget:
      raise BudgetExhausted(
        f"The query budget is exhausted: {count} images asked for, "
        f"{budget - spent} of queries.budget={budget} left (ledger "
        f"{self._path}). Raise it to go on, unless synthesis.num_rounds is 0: "
        "then the budget decides the rounds, and a greater one is another run."
      )

  def _go_on(
    self, request: int, record: str, *, sync: bool = True, **fields: Any
  ) -> None:
    with self._lock:
      if request not in self._tally.in_flight:
        raise JaxkdError(f"Request {request} is not in flight ({self._path}).")
      _, images = self._tally.in_flight[request]
      if len(fields.get("answers", images)) != len(images):
        raise JaxkdError(
          f"Request {request} has {len(images)} images and "
          f"{len(fields['answers'])} answers ({self._path})."
        )
      self._append({"record": record, "request": request, **fields}, sync=sync)

  def _append(self, *records: dict[str, Any], sync: bool = True) -> None:
    """Writes records, then believes them; the caller holds the lock."""
    if self._failure:
      raise JaxkdError(self._failure)
    text, crc = b"", self._tally.crc
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for record in records:
      body = json.dumps({**record, "time": now})[:-1].encode()
      line, crc = add_checksum(body, crc)
      text += line
    # It stands if anything below is interrupted, even by a signal.
    self._failure = (
      f"The query ledger {self._path} could not be written; make room and "
      "start the run again, it goes on from what is on disk."
    )
    try:
      while text:
        text = text[self._file.write(text) :]
      if sync:
        os.fsync(self._file.fileno())
    except OSError as error:
      raise JaxkdError(f"{self._failure} ({error.strerror})") from error
    for record in records:
      self._tally.add(record)
    self._tally.crc, self._failure = crc, ""


def _sync_folder(folder: Path) -> None:
  """A new file's name is on disk only when its folder is."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


if __name__ == "__main__":
  main()
