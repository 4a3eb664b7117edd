"""The interface of a transport, its errors, and the waits between attempts.

A transport sends a request once. Budgets and repetition are the task of
`jaxkd.teachers.remote.remote_teacher`.
"""

import random
import time
from typing import Protocol

import numpy as np

from jaxkd.errors import JaxkdError

FIRST_WAIT_S = 0.5  # longest wait before the second attempt; doubles each time
LONGEST_WAIT_S = 30.0
MIN_ATTEMPTS = 3  # one attempt takes at most a third of the deadline


class RetryableError(Exception):
  """The request may be repeated, after `retry_after_s` seconds if given."""

  def __init__(self, reason: str, retry_after_s: float | None = None):
    super().__init__(reason)
    self.retry_after_s = retry_after_s


class NotServed(RetryableError):
  """The request was not served and costs nothing.

  Causes are the status 429 or 503, a redirect on the same server, or no
  connection.
  """


class OutcomeUnknown(RetryableError):
  """The request may have been served, so it counts as spent.

  Causes are any status from 500 up but 503, a timeout, a lost connection, or an
  incomplete reply.
  """


class TooLarge(Exception):
  """The request was not served because it has too many bytes (status 413)."""


class PermanentError(JaxkdError):
  """The request was not served and must not be repeated, as with status 404."""


class Transport(Protocol):
  """Sends requests to one server, each once."""

  def check(self) -> None:
    """Checks that the server fits, without a query.

    Raises:
      NotServed, OutcomeUnknown: if the check may be repeated.
      JaxkdError: if the server does not fit.
    """

  def send(self, images: np.ndarray, *, timeout_s: float) -> np.ndarray:
    """Returns labels `[N]` int32 or scores `[N, K]` float32.

    Args:
      images: uint8 `[N, H, W, C]`.
      timeout_s: seconds that the attempt may take.

    Raises:
      NotServed, OutcomeUnknown, TooLarge, PermanentError: see their docstrings.
      JaxkdError: for an answer that is not valid.
    """

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""

  def close(self) -> None:
    """Closes the connections."""


class Backoff:
  """Computes waits between attempts: exponential with full jitter.

  Args:
    deadline_s: seconds for all attempts together.
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
    return max(min(left_s, self._deadline_s / MIN_ATTEMPTS), 0.001)

  def wait_s(self, error: RetryableError) -> float:
    """Returns the seconds to wait after `error`, at least what a server asks.

    Raises:
      JaxkdError: if the deadline would pass during the wait.
    """
    wait_s = (error.retry_after_s or 0.0) + random.uniform(0, self._ceiling_s)
    self._ceiling_s = min(2 * self._ceiling_s, LONGEST_WAIT_S)
    if time.monotonic() + wait_s >= self._end:
      raise JaxkdError(
        f"There was no answer within {self._deadline_s:g} s (see "
        f"queries.deadline_s); the last attempt failed with: {error}. Start "
        "the run again later: the answers so far are in its ledger."
      )
    return wait_s


def preflight(transport: Transport, deadline_s: float) -> None:
  """Calls `transport.check()`, again while the server is busy or starting.

  Raises:
    JaxkdError: if the server does not fit, or is not ready by the deadline.
  """
  backoff = Backoff(deadline_s)
  while True:
    try:
      return transport.check()
    except RetryableError as error:
      time.sleep(backoff.wait_s(error))
