"""How one request travels, what may become of it, and how long to try.

A transport carries a request once. It knows nothing of budgets and does not
repeat: `jaxkd.teachers.remote.remote_teacher` does.
"""

import random
import time
from typing import Protocol

import numpy as np

from jaxkd.errors import JaxkdError

FIRST_WAIT_S = 0.5  # before the second attempt, at most; doubles from there
LONGEST_WAIT_S = 30.0
SHARE = 3  # one attempt takes a third of the deadline at most


class RetryableError(Exception):
  """May be sent again, after `retry_after_s` seconds if the server says so."""

  def __init__(self, reason: str, retry_after_s: float | None = None):
    super().__init__(reason)
    self.retry_after_s = retry_after_s


class NotServed(RetryableError):
  """Not served, hence not paid for: 429, 503, no connection."""


class OutcomeUnknown(RetryableError):
  """Nobody knows whether it was served, hence spent: 500, timeout, reset."""


class TooLarge(Exception):
  """Not served because it has too many bytes: 413."""


class PermanentError(JaxkdError):
  """Not served, and the same again would not be either: 400, 401, 404."""


class Transport(Protocol):
  """Carries one request, once."""

  def check(self) -> None:
    """Whether the server fits; before the first query, and free of queries.

    Raises:
      JaxkdError, Refused, Lost.
    """

  def send(self, images: np.ndarray, *, timeout_s: float) -> np.ndarray:
    """int32 labels `[N]` or float32 scores `[N, K]` for uint8 `[N, H, W, C]`.

    Raises:
      Refused, Lost, TooLarge, Rejected: see there.
      JaxkdError: for an answer that can't be right.
    """

  def size(self, images: np.ndarray) -> int:
    """Bytes of the request's body."""

  def close(self) -> None:
    """Lets the connections go."""


class Backoff:
  """Waits between attempts: exponential, full jitter, under a deadline."""

  def __init__(self, deadline_s: float):
    self._deadline_s = deadline_s
    self._end = time.monotonic() + deadline_s
    self._ceiling_s = FIRST_WAIT_S

  def timeout_s(self) -> float:
    """Seconds that the next attempt may take; a stall leaves time for more."""
    left_s = self._end - time.monotonic()
    return max(min(left_s, self._deadline_s / SHARE), 0.001)

  def wait_s(self, error: RetryableError) -> float:
    """Seconds to wait after `error`, never less than the server asks for.

    Raises:
      JaxkdError: if the deadline would have passed by then.
    """
    wait_s = (error.retry_after_s or 0.0) + random.uniform(0, self._ceiling_s)
    self._ceiling_s = min(2 * self._ceiling_s, LONGEST_WAIT_S)
    if time.monotonic() + wait_s >= self._end:
      raise JaxkdError(
        f"no answer within {self._deadline_s:g} s (queries.deadline_s allows "
        f"no more); the last attempt: {error}. Go on later, no answer is lost."
      )
    return wait_s


def preflight(transport: Transport, deadline_s: float) -> None:
  """`transport.check()`, again while the server is busy or starting.

  Raises:
    JaxkdError: if it does not fit, or not within the deadline.
  """
  backoff = Backoff(deadline_s)
  while True:
    try:
      return transport.check()
    except RetryableError as error:
      time.sleep(backoff.wait_s(error))
