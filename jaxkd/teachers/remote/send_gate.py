"""The limit on requests that are paid for in vain."""

from collections.abc import Iterator
import contextlib
import threading

from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger

POLL_S = 0.1  # between checks for a request to stop the run


class TooManyUnanswered(JaxkdError):
  """Too many requests in a row were paid for in vain."""


class SendGate:
  """Lets requests through until too many in a row have had no answer.

  Requests that may have been billed and gave nothing are counted by the ledger
  since the last answer. While there are some, those and the requests in flight
  together stay within the limit, so that after the first loss no more requests
  than the limit are lost in a row. A run that follows one that ended for this
  reason may send a single request; more may follow once that is answered.

  Args:
    ledger: counts the requests, also those of earlier sessions.
    max_unanswered: the limit, `queries.max_unanswered`.
  """

  def __init__(self, ledger: Ledger, max_unanswered: int):
    self._ledger = ledger
    self._limit = max_unanswered
    self._condition = threading.Condition()
    self._in_flight = 0
    # Those of earlier sessions, if they have reached the limit.
    before = ledger.unanswered().requests
    self._before = before if before >= max_unanswered else 0

  @contextlib.contextmanager
  def pass_through(self, stop: threading.Event) -> Iterator[bool]:
    """Waits until a request may be sent; yields False if told to stop.

    The request has to have ended in the ledger when the context ends.

    Raises:
      TooManyUnanswered: if no more may be sent.
    """
    with self._condition:
      while not stop.is_set() and not self._may_send():
        self._condition.wait(POLL_S)
      self._in_flight += 1
    try:
      yield not stop.is_set()
    finally:
      with self._condition:
        self._in_flight -= 1
        self._condition.notify_all()

  def check(self) -> None:
    """Checks that more requests may be sent, now or later.

    Raises:
      TooManyUnanswered: if the limit is reached.
    """
    unanswered = self._ledger.unanswered()
    if unanswered.requests < self._limit:
      self._before = 0
    elif unanswered.requests != self._before:
      cost = ""
      if price := self._ledger.price_per_1000:
        cost = (
          f", which cost {unanswered.images / 1000 * price:g} at "
          f"queries.price_per_1000={price:g}"
        )
      raise TooManyUnanswered(
        f"{unanswered.requests} requests in a row may have been billed and "
        f"gave no answer: {unanswered.images} images{cost}. The last failed "
        f"with: {unanswered.reason.rstrip('.')}. Start the run again when that "
        "is mended; it sends one request first. "
        f"queries.max_unanswered={self._limit} sets how many in a row are "
        "allowed."
      )

  def _may_send(self) -> bool:
    self.check()
    if self._before:
      return not self._in_flight
    unanswered = self._ledger.unanswered().requests
    return not unanswered or unanswered + self._in_flight < self._limit
