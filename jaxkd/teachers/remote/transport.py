"""The interface of a transport, its errors, and the waits between attempts.

A transport sends a request once. Budgets and repetition are the task of
`jaxkd.teachers.remote.remote_teacher`.
"""

import math
import random
import time
from typing import Protocol

import numpy as np

from jaxkd.errors import JaxkdError
from jaxkd.teachers.answers import CheckedAnswers

FIRST_WAIT_S = 0.5  # longest wait before the second attempt; doubles each time
LONGEST_WAIT_S = 30.0
MIN_ATTEMPTS = 3  # one attempt takes at most a third of the deadline


class RetryableError(Exception):
  """The request may be repeated, after `retry_after_s` seconds if given."""

  def __init__(self, reason: str = "", retry_after_s: float | None = None):
    super().__init__(reason or type(self).__name__)
    self.retry_after_s = None
    try:  # a user's function may pass on the text of a header
      seconds = float(retry_after_s)
    except (TypeError, ValueError):
      return
    if 0 <= seconds < math.inf:
      self.retry_after_s = seconds


class NotServed(RetryableError):
  """Nothing was done for the request: it costs nothing, and is tried again.

  A black box that is a function raises it, as `jaxkd.NotServed`, for instance
  if a service's rate is limited; every other exception counts as spent.

  Args:
    reason: what happened, for messages and the ledger.
    retry_after_s: seconds to wait before the next attempt, if known.
  """


class NoConnection(NotServed):
  """The request did not leave this machine."""


class Moved(NotServed):
  """The request was not served, and has to be sent to another address."""

  def __init__(self, reason: str):
    super().__init__(reason, 0.0)


class OutcomeUnknown(RetryableError):
  """The request may have been served, so it is spent, and is tried again."""


class FailedTooLarge(OutcomeUnknown):
  """The server says that the request is too large, and may have served it.

  It counts as spent, and its images are sent again in halves.
  """


class TooLarge(Exception):
  """The request was not served because it has too many images or bytes."""


class PermanentError(JaxkdError):
  """The request was not served and must not be repeated, as with status 404."""

  def __init__(self, reason: str, status: int | None = None):
    super().__init__(reason)
    self.status = status


class Transport(Protocol):
  """Sends requests to one server, each once.

  Which error stands for which reply is decided in
  `jaxkd.teachers.remote.outcomes`.
  """

  def check(self) -> None:
    """Checks that the server fits, without a query.

    Raises:
      NotServed, OutcomeUnknown: if the check may be repeated.
      JaxkdError: if the server does not fit.
    """

  def send(
    self, images: np.ndarray, *, timeout_s: float, key: str
  ) -> CheckedAnswers:
    """Returns labels `[N]` int32 or scores `[N, K]` float32, each checked.

    Args:
      images: uint8 `[N, H, W, C]`.
      timeout_s: seconds that the attempt may take.
      key: the same for each attempt to send the same images.

    Raises:
      NotServed, OutcomeUnknown, TooLarge, PermanentError: see their docstrings.
      JaxkdError: for a reply that does not hold an answer for each image.
    """

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""

  def close(self) -> None:
    """Closes the connections."""


class Backoff:
  """Computes waits between attempts: exponential with full jitter.

  Args:
    deadline_s: seconds for all attempts together, `queries.deadline_s`.
  """

  def __init__(self, deadline_s: float):
    self._deadline_s = deadline_s
    self._end = time.monotonic() + deadline_s
    self._ceiling_s = FIRST_WAIT_S

  def timeout_s(self) -> float:
    """Returns the seconds that the next attempt may take.

    It is a part of the deadline, so that a server that stalls once leaves time
    for further attempts.
    """
    left_s = self._end - time.monotonic()
    return min(max(left_s, self._shortest_s), self._deadline_s / MIN_ATTEMPTS)

  @property
  def _shortest_s(self) -> float:
    # An attempt that is cut off after a moment would be paid for nothing.
    return self._deadline_s / MIN_ATTEMPTS / 4

  def extend(self, seconds: float) -> None:
    """Moves the deadline, by a time in which nothing could be sent."""
    self._end += seconds

  def wait_s(self, error: RetryableError) -> float:
    """Returns the seconds to wait after `error`, at least what a server asks.

    Raises:
      JaxkdError: if the deadline would pass during the wait.
    """
    wait_s = (error.retry_after_s or 0.0) + random.uniform(0, self._ceiling_s)
    self._ceiling_s = min(2 * self._ceiling_s, LONGEST_WAIT_S)
    if time.monotonic() + wait_s + self._shortest_s >= self._end:
      raise JaxkdError(
        f"There was no answer within {self._deadline_s:g} s (see "
        f"queries.deadline_s); the last attempt failed with: {error}. Start "
        "the run again later: the answers so far are in its ledger."
      )
    return wait_s


def preflight(
  transport: Transport, deadline_s: float, connect_s: float
) -> None:
  """Calls `transport.check()`, again while the server is busy or starting.

  Args:
    transport: what is checked.
    deadline_s: seconds in which a server that replies has to be ready.
    connect_s: seconds in which there has to be a connection.

  Raises:
    JaxkdError: if the server does not fit, or is not ready by the deadline.
  """
  backoff = Backoff(deadline_s)
  connect_s = min(connect_s, deadline_s)
  connecting = Backoff(connect_s)
  announced = False
  while True:
    try:
      return transport.check()
    except NoConnection as error:
      try:
        wait_s = connecting.wait_s(error)
      except JaxkdError:
        raise JaxkdError(
          f"There is {error}, tried for {connect_s:g} s: check teacher.url, "
          "and that the server runs. Nothing was asked."
        ) from None
      time.sleep(wait_s)
    except RetryableError as error:
      wait_s = backoff.wait_s(error)
      if not announced:
        print(f"Waiting for the server of the teacher: {error}", flush=True)
        announced = True
      connecting = Backoff(connect_s)
      time.sleep(wait_s)
