"""The query ledger records a black box's queries, answers and costs on disk.

It is a file of JSON lines that are only appended. Images are reserved on disk
before their request is sent, and an answer is on disk before it is used:

  reserved (fsync) -> sent -> answered (fsync) | refused | unknown

So an answer on disk is never paid for again. After a crash, at most the
requests in flight are sent again; both attempts count as spent, because the
server may have served them. `python -m jaxkd.teachers.ledger FILE` prints the
totals.
"""

from collections.abc import Sequence
import datetime
import fcntl
import json
import operator
import os
from pathlib import Path
import threading

from jaxkd.errors import JaxkdError
from jaxkd.teachers import records
from jaxkd.teachers.answers import Answer, to_json
from jaxkd.teachers.ledger_cli import main
from jaxkd.teachers.ledger_state import ENDED, QueryTotals, Unanswered


class Ledger:
  """Writes a query ledger; a file has one writer at a time.

  Opening creates the file or continues it: an incomplete last record is cut
  off, and requests that had not ended become unknown. Threads may share a
  ledger. It is a context manager. Once a write has failed, every later one
  fails; opening the file again repairs it.

  Args:
    path: the file; its folder must exist.
    budget: the number of images that may be spent over all sessions; None is
      no limit. It may be raised from session to session.
    price_per_1000: the price of 1000 images, for the totals.

  Raises:
    JaxkdError: if the file can't be written, has another writer, is not a
      ledger or is damaged, or if more is spent than the budget allows.
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
        f"({error.strerror}); give access, or choose another --workdir."
      ) from error

  def _open(self, budget: int | None, price_per_1000: float) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise JaxkdError(
        f"The query ledger {self._path} is in use by another run; wait for its "
        "end, or choose another --workdir."
      ) from error
    self._state, length = records.read_ledger(self._path)
    spent = self._state.totals().spent
    if budget is not None and budget < spent:
      raise JaxkdError(
        f"queries.budget={budget}, but {spent} images are spent already "
        f"(ledger {self._path}); set it to {spent} or more."
      )
    self._file.truncate(length)
    created = {"record": "created", "version": records.VERSION}
    opened = {
      "record": "opened",
      "budget": budget,
      "price_per_1000": price_per_1000,
    }
    unknown = [
      {"record": "unknown", "request": request, "reason": ENDED}
      for request in self._state.in_flight
    ]
    self._append(*([] if length else [created]), opened, *unknown)
    _sync_folder(self._path.parent)

  def __enter__(self) -> "Ledger":
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def close(self) -> None:
    """Closes the file and releases its lock."""
    with self._lock:
      self._failure = f"The query ledger {self._path} is closed."
      self._file.close()

  def answer(self, digest: str) -> Answer | None:
    """Returns the answer on disk for an image, None if there is none."""
    # Without the lock: a look-up never waits for another request's fsync.
    return self._state.answers.get(digest)

  def is_wrong(self, digest: str) -> bool:
    """Returns whether the answer to an image was not valid."""
    return digest in self._state.wrong

  @property
  def price_per_1000(self) -> float:
    """The price of 1000 images."""
    return self._state.price_per_1000

  def unanswered(self) -> Unanswered:
    """Returns the requests since the last answer that gave nothing."""
    return self._state.unanswered

  def totals(self) -> QueryTotals:
    """Returns the totals so far, over all sessions."""
    with self._lock:
      return self._state.totals()

  def reserve(self, digests: Sequence[str], kind: str = "train") -> int:
    """Reserves the images of one request, before it is sent.

    Returns:
      The request's number, for `sent` and then `answered`, `refused` or
      `unknown`.

    Raises:
      BudgetExhausted: if fewer images are left; nothing is written.
    """
    with self._lock:
      self._state.check_budget(len(digests), kind, self._path)
      request = self._state.requests + 1
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
    """Records that the request is about to be sent."""
    # No fsync: the reservation on disk counts as spent if nothing follows.
    self._update(request, "sent", sync=False)

  def answered(
    self,
    request: int,
    answers: Sequence[Answer | None],
    *,
    reason: str = "",
    renormalised: int = 0,
  ) -> None:
    """Records one label or one list of scores for each image, in order.

    Args:
      request: its number.
      answers: None where an answer was not valid.
      reason: why the first of those was not valid.
      renormalised: the number of answers that did not sum to 1.
    """
    written = [None if a is None else to_json(a) for a in answers]
    more = {"reason": records.redact_url(reason)} if reason else {}
    if renormalised:
      more["renormalised"] = renormalised
    self._update(request, "answered", answers=written, **more)

  def refused(self, request: int, reason: str) -> None:
    """Records that the server did not serve the request: nothing is spent."""
    self._update(request, "refused", reason=records.redact_url(reason))

  def unknown(self, request: int, reason: str) -> None:
    """Records that the request may have been served: it stays spent."""
    self._update(request, "unknown", reason=records.redact_url(reason))

  def record_bulk(self, name: str, count: int, kind: str = "train") -> None:
    """Records images that are answered in this process, under one name.

    A name that is recorded already costs nothing, as when a round is repeated
    after a crash.

    Raises:
      BudgetExhausted: if fewer images are left; nothing is written.
      JaxkdError: if the name is recorded with another count or kind.
    """
    count = operator.index(count)
    with self._lock:
      before = self._state.bulk.get(name)
      if before == (count, kind):
        return
      if before:
        raise JaxkdError(
          f"{name!r} is recorded with {before[0]} {before[1]} images, now "
          f"with {count} {kind}: the ledger {self._path} may be another run's."
        )
      self._state.check_budget(count, kind, self._path)
      self._append(
        {"record": "booked", "name": name, "count": count, "kind": kind}
      )

  def _update(
    self,
    request: int,
    record: str,
    *,
    sync: bool = True,
    **fields: str | int | list[int | list[float] | None],
  ) -> None:
    with self._lock:
      if request not in self._state.in_flight:
        raise JaxkdError(f"Request {request} is not in flight ({self._path}).")
      _, images = self._state.in_flight[request]
      if len(fields.get("answers", images)) != len(images):
        raise JaxkdError(
          f"Request {request} has {len(images)} images and "
          f"{len(fields['answers'])} answers ({self._path})."
        )
      self._append({"record": record, "request": request, **fields}, sync=sync)

  def _append(self, *lines: dict[str, object], sync: bool = True) -> None:
    """Appends records; the state in memory changes once they are on disk.

    The caller holds the lock.
    """
    if self._failure:
      raise JaxkdError(self._failure)
    text, crc = b"", self._state.crc
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for record in lines:
      body = json.dumps({**record, "time": now})[:-1].encode()
      line, crc = records.add_checksum(body, crc)
      text += line
    # It is cleared at the end only, so that it also stays after a signal.
    self._failure = (
      f"The query ledger {self._path} could not be written; check the disk's "
      "free space and start the run again, which continues from the file."
    )
    try:
      while text:
        text = text[self._file.write(text) :]
      if sync:
        os.fsync(self._file.fileno())
    except OSError as error:
      raise JaxkdError(f"{self._failure} ({error.strerror})") from error
    for record in lines:
      self._state.add(record)
    self._state.crc, self._failure = crc, ""


def _sync_folder(folder: Path) -> None:
  # A new file's name is on disk only once its folder is.
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


if __name__ == "__main__":
  main()
