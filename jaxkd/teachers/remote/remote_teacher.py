"""A teacher at the far end of a transport: requests, retries, what they cost.

Every attempt goes reserve -> sent -> answered | refused | unknown in the
ledger, whatever interrupts it. Answers are taken from the ledger alone, so
that a run that is played again gets the same ones.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import (
  FIRST_EXCEPTION,
  Future,
  ThreadPoolExecutor,
  wait,
)
import contextlib
import threading

import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import checkpoints
from jaxkd.runtime.checkpoints import Preempted
from jaxkd.teachers.answers import eight_bit, gather
from jaxkd.teachers.ledger import Ledger, digest
from jaxkd.teachers.remote.transport import (
  Backoff,
  NotServed,
  OutcomeUnknown,
  PermanentError,
  RetryableError,
  TooLarge,
  Transport,
)

POLL_S = 0.1  # between looks at whether the run was told to stop


class RemoteTeacher:
  """A black box that is asked over a transport.

  Args:
    transport: carries the requests.
    ledger: counts them, and keeps the answers.
    access: `label`, `top_k`, `probs` or `logits`.
    images_per_request: at most.
    bytes_per_request: at most, of the body.
    max_in_flight: requests that are under way at the same time.
    deadline_s: seconds for one request with all its attempts.
  """

  in_process = False
  eight_bit = True

  def __init__(
    self,
    transport: Transport,
    ledger: Ledger,
    *,
    access: str,
    images_per_request: int,
    bytes_per_request: int,
    max_in_flight: int,
    deadline_s: float,
  ):
    self.access = access
    self._transport = transport
    self._ledger = ledger
    self._most = images_per_request
    self._bytes_per_request = bytes_per_request
    self._max_in_flight = max_in_flight
    self._deadline_s = deadline_s

  def close(self) -> None:
    """Lets the connections go."""
    self._transport.close()

  def answer(self, images: np.ndarray, kind: str = "train") -> np.ndarray:
    """What the teacher says; what the ledger knows is not sent again.

    Args:
      images: uint8 `[N, H, W, C]`.
      kind: of query, one of `jaxkd.teachers.ledger.KINDS`.

    Returns:
      int32 labels `[N]` or float32 scores `[N, K]`, in the images' order.

    Raises:
      BudgetExhausted: naming what is missing, once all that was under way is
        booked.
      Preempted: if the run was told to stop, likewise: nothing more is sent,
        and what was under way has ended in the ledger.
      JaxkdError: for a request without a right answer in time.
    """
    images = eight_bit(images)
    digests = [digest(image) for image in images]
    unasked: dict[str, int] = {}
    for index, name in enumerate(digests):
      if self._ledger.answer(name) is None:
        unasked.setdefault(name, index)
    self._ask_all(images, unasked, kind)
    return gather(self._ledger.answer, digests, self.access)

  def _ask_all(
    self, images: np.ndarray, unasked: dict[str, int], kind: str
  ) -> None:
    names, most = list(unasked), max(self._most, 1)
    stop = threading.Event()
    pool = ThreadPoolExecutor(self._max_in_flight)

    def ask(part: list[str]) -> None:
      self._ask(images[[unasked[name] for name in part]], part, kind, stop)

    try:
      futures = [
        pool.submit(ask, names[start : start + most])
        for start in range(0, len(names), most)
      ]
      _wait(futures)
    finally:
      # Also when interrupted: what is under way ends in the ledger first.
      stop.set()
      pool.shutdown(cancel_futures=True)
    ended = [future for future in futures if not future.cancelled()]
    errors = [error for future in ended if (error := future.exception())]
    for error in errors:
      if not isinstance(error, BudgetExhausted):
        raise error
    if errors:
      missing = [name for name in names if self._ledger.answer(name) is None]
      raise BudgetExhausted(
        f"{errors[0]} {len(missing)} of {len(names)} new images have no "
        f"answer; the first: {', '.join(missing[:4])}."
      )
    if any(self._ledger.answer(name) is None for name in names):
      raise Preempted

  def _ask(
    self,
    images: np.ndarray,
    digests: Sequence[str],
    kind: str,
    stop: threading.Event,
  ) -> None:
    """One request, as often as it takes; in halves where it is too large."""
    backoff = Backoff(self._deadline_s)
    while self._fits(images):
      if stop.is_set():
        return
      request = self._ledger.reserve(digests, kind)
      with _naming(request, digests):
        try:
          self._attempt(request, images, backoff.timeout_s())
          return
        except TooLarge:
          self._most = min(self._most, len(images) // 2)
        except RetryableError as error:
          kind = "retry" if isinstance(error, OutcomeUnknown) else kind
          stop.wait(backoff.wait_s(error))
    half = len(images) // 2
    for part in (slice(half), slice(half, None)):
      self._ask(images[part], digests[part], kind, stop)

  def _fits(self, images: np.ndarray) -> bool:
    size = self._transport.size(images)
    if len(images) <= self._most and size <= self._bytes_per_request:
      return True
    if len(images) == 1:
      raise JaxkdError(
        f"One image makes a request of {size} bytes, more than "
        f"queries.bytes_per_request={self._bytes_per_request} or than the "
        "server takes (413); raise the limit, or send smaller images."
      )
    return False

  def _attempt(
    self, request: int, images: np.ndarray, timeout_s: float
  ) -> None:
    """Sends a request once; however it ends, the ledger knows."""
    try:
      self._ledger.sent(request)
      answers = self._transport.send(images, timeout_s=timeout_s)
    except (NotServed, PermanentError, TooLarge) as error:
      self._ledger.refused(request, str(error))
      raise
    except BaseException as error:
      self._ledger.unknown(request, str(error))
      raise
    self._ledger.answered(request, answers.tolist())


def _wait(futures: Sequence[Future]) -> None:
  """Until all have ended, one has failed, or the run is told to stop."""
  waiting = True
  while waiting and not checkpoints.stopping():
    done, unfinished = wait(
      futures, timeout=POLL_S, return_when=FIRST_EXCEPTION
    )
    waiting = unfinished and not any(future.exception() for future in done)


@contextlib.contextmanager
def _naming(request: int, digests: Sequence[str]) -> Iterator[None]:
  """Errors say which request it was."""
  try:
    yield
  except JaxkdError as error:
    raise JaxkdError(
      f"Request {request} ({len(digests)} images, the first {digests[0]}): "
      f"{error}"
    ) from None
