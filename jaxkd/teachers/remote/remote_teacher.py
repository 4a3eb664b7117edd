"""A remote teacher: queries split into requests, repeated and counted.

In the ledger, every attempt goes reserved -> sent -> answered | refused |
unknown, whatever interrupts it. Answers are read from the ledger alone, so that
a run that is repeated gets the same ones.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import (
  FIRST_EXCEPTION,
  Future,
  ThreadPoolExecutor,
  wait,
)
import contextlib
import hashlib
import threading
import time

from ml_collections import ConfigDict
import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import checkpoints
from jaxkd.runtime.checkpoints import Preempted
from jaxkd.teachers.answers import collect, digest, require_eight_bit
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote.send_gate import (
  POLL_S,
  SendGate,
  TooManyUnanswered,
)
from jaxkd.teachers.remote.transport import (
  Backoff,
  FailedTooLarge,
  NotServed,
  OutcomeUnknown,
  PermanentError,
  RetryableError,
  TooLarge,
  Transport,
)


class RemoteTeacher:
  """A black box behind a transport, whose queries are counted in a ledger.

  Args:
    transport: sends the requests.
    ledger: counts the queries and holds the answers.
    access: `label`, `top_k`, `probs` or `logits`.
    images_per_request: the largest number of images in a request.
    bytes_per_request: the largest number of bytes in a request's body.
    max_in_flight: the largest number of requests at the same time.
    deadline_s: seconds for one request with all its attempts.
    max_unanswered: the most requests in a row that may be paid for in vain.
    ask_again: whether an image is asked about whose answer was not valid in an
      earlier session.
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
    max_unanswered: int,
    ask_again: bool = False,
  ):
    self.access = access
    self._transport = transport
    self._ledger = ledger
    self._max_images = images_per_request
    self._bytes_per_request = bytes_per_request
    self._max_in_flight = max_in_flight
    self._deadline_s = deadline_s
    self._gate = SendGate(ledger, max_unanswered)
    self._warned = False  # that answers are not valid
    self._size_error = ""  # what the server said of a request too large
    self._ask_again = ask_again
    self._asked: set[str] = set()  # in this session, and answered somehow

  @classmethod
  def open(
    cls, transport: Transport, ledger: Ledger, access: str, queries: ConfigDict
  ) -> "RemoteTeacher":
    """Returns a teacher with the limits that `config.queries` sets."""
    return cls(
      transport,
      ledger,
      access=access,
      images_per_request=min(queries.images_per_request, transport.max_images),
      bytes_per_request=queries.bytes_per_request,
      max_in_flight=queries.max_in_flight,
      deadline_s=queries.deadline_s,
      max_unanswered=queries.max_unanswered,
      ask_again=queries.ask_again,
    )

  def close(self) -> None:
    """Closes the connections."""
    self._transport.close()

  @property
  def reason(self) -> str:
    """Why the last request had no valid answer; empty if it had one."""
    return self._ledger.unanswered().reason

  def answer(self, images: np.ndarray, kind: str = "train") -> np.ndarray:
    """Returns the teacher's answers, and sends the images without one.

    An image that the ledger has an answer to is not sent again, nor one whose
    answer was not valid: its label is -1, its scores are NaN.

    Args:
      images: uint8 `[N, H, W, C]`.
      kind: the kind of query, one of `jaxkd.teachers.ledger_state.QUERY_KINDS`.

    Returns:
      int32 labels `[N]` or float32 scores `[N, K]`, in the images' order.

    Raises:
      BudgetExhausted: if the budget ends before all images are answered.
      Preempted: if the run was told to stop.
      JaxkdError: if a request has no valid answer by its deadline, or too many
        in a row were paid for in vain.
      In all three cases, requests in flight have ended in the ledger first.
    """
    images = require_eight_bit(images)
    digests = [digest(image) for image in images]
    missing: dict[str, int] = {}  # an index of each new image, by digest
    for index, name in enumerate(digests):
      if not self._is_settled(name):
        missing.setdefault(name, index)
    self._ask_all(images, missing, kind)
    return collect(self._ledger.answer, digests, self.access)

  def _ask_all(
    self, images: np.ndarray, indices: dict[str, int], kind: str
  ) -> None:
    names, size = list(indices), max(self._max_images, 1)
    stop = threading.Event()
    pool = ThreadPoolExecutor(self._max_in_flight)

    def ask(part: list[str]) -> None:
      self._ask(images[[indices[name] for name in part]], part, kind, stop)

    try:
      futures = [
        pool.submit(ask, names[start : start + size])
        for start in range(0, len(names), size)
      ]
      _wait(futures)
    finally:
      # Also after an interrupt: requests in flight end in the ledger first.
      stop.set()
      pool.shutdown(cancel_futures=True)
    ended = [future for future in futures if not future.cancelled()]
    errors = [error for future in ended if (error := future.exception())]
    for error in errors:
      if isinstance(error, TooManyUnanswered):
        self._gate.check()  # now that those in flight have ended
      if not isinstance(error, BudgetExhausted):
        raise error
    if errors:
      missing = [name for name in names if not self._is_settled(name)]
      failed = f" The last request failed: {self.reason}" if self.reason else ""
      raise BudgetExhausted(
        f"{errors[0]} There is no answer to {len(missing)} of {len(names)} new "
        f"images, the first of them {', '.join(missing[:4])}.{failed}"
      )
    if not all(map(self._is_settled, names)):
      raise Preempted

  def _is_settled(self, name: str) -> bool:
    """Returns whether an image is not to be asked about."""
    if self._ledger.answer(name) is not None:
      return True
    again = self._ask_again and name not in self._asked
    return self._ledger.is_wrong(name) and not again

  def _ask(
    self,
    images: np.ndarray,
    digests: Sequence[str],
    kind: str,
    stop: threading.Event,
  ) -> None:
    """Repeats a request until it is answered; halves one that is too large."""
    backoff = Backoff(self._deadline_s)
    key = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:32]
    while self._fits(images):
      before = time.monotonic()
      with self._gate.pass_through(stop) as may_send:
        if not may_send:
          return
        backoff.extend(time.monotonic() - before)
        request = self._ledger.reserve(digests, kind)
        try:
          with _add_request_to_errors(request, digests):
            self._attempt(request, images, backoff.timeout_s(), key)
          self._asked.update(digests)
          self._gate.check()
          return
        except TooLarge as error:
          self._shrink(len(images), error)
          continue
        except RetryableError as error:
          if isinstance(error, FailedTooLarge):
            self._shrink(len(images), error)
          kind = "retry" if isinstance(error, OutcomeUnknown) else kind
          reason = error
      self._gate.check()
      with _add_request_to_errors(request, digests):
        stop.wait(backoff.wait_s(reason))
    half = len(images) // 2
    for part in (slice(half), slice(half, None)):
      self._ask(images[part], digests[part], kind, stop)

  def _shrink(self, count: int, error: TooLarge | FailedTooLarge) -> None:
    """Remembers that a request of `count` images was too large."""
    self._max_images = min(self._max_images, count // 2)
    self._size_error = f" The server said: {error}."

  def _fits(self, images: np.ndarray) -> bool:
    size = self._transport.size(images)
    if len(images) <= self._max_images and size <= self._bytes_per_request:
      return True
    if len(images) == 1:
      raise JaxkdError(
        f"One image makes a request of {size} bytes, which is more than "
        f"queries.bytes_per_request={self._bytes_per_request} or more than the "
        "server takes; raise the limit, or send smaller images."
        f"{self._size_error}"
      )
    return False

  def _attempt(
    self, request: int, images: np.ndarray, timeout_s: float, key: str
  ) -> None:
    """Sends a request once, and records how it ended."""
    try:
      self._ledger.sent(request)
      answers = self._transport.send(images, timeout_s=timeout_s, key=key)
    except (NotServed, PermanentError, TooLarge) as error:
      self._ledger.refused(request, str(error))
      raise
    except BaseException as error:
      self._ledger.unknown(request, str(error))
      raise
    reason = answers.wrong[min(answers.wrong)] if answers.wrong else ""
    self._ledger.answered(
      request,
      answers.to_list(),
      reason=reason,
      renormalised=answers.renormalised,
    )
    if reason and not self._warned:
      self._warned = True
      print(
        f"Warning: request {request}: {len(answers.wrong)} of {len(images)} "
        f"answers are not valid. {reason} Such images are paid for, left out, "
        "counted in the report, and not asked about again unless "
        "queries.ask_again=True.",
        flush=True,
      )


def _wait(futures: Sequence[Future]) -> None:
  """Waits until all have ended, one has failed, or the run is to stop."""
  waiting = True
  while waiting and not checkpoints.stopping():
    done, unfinished = wait(
      futures, timeout=POLL_S, return_when=FIRST_EXCEPTION
    )
    waiting = unfinished and not any(future.exception() for future in done)


@contextlib.contextmanager
def _add_request_to_errors(
  request: int, digests: Sequence[str]
) -> Iterator[None]:
  """Adds the number and images of a request to its errors."""
  try:
    yield
  except JaxkdError as error:
    raise JaxkdError(
      f"Request {request} ({len(digests)} images, the first {digests[0]}): "
      f"{error}"
    ) from None
