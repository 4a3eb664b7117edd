"""What a server counts, and how it slows clients down."""

from collections.abc import Callable
import threading
import time


class ServerStats:
  """The server's own count; thread-safe.

  Args:
    price_per_1000: images.
  """

  def __init__(self, price_per_1000: float):
    self._lock = threading.Lock()
    self._price_per_1000 = price_per_1000
    self._images = self._requests = self._refused = 0

  def answer(self, images: int) -> None:
    """A request is about to be answered."""
    with self._lock:
      self._images += images
      self._requests += 1

  def refuse(self) -> None:
    """A request gets no answer, and costs nothing."""
    with self._lock:
      self._refused += 1

  def report(self) -> dict[str, float]:
    """`images` and `requests` answered, requests `refused`, and `income`."""
    with self._lock:
      return {
        "images": self._images,
        "requests": self._requests,
        "refused": self._refused,
        "income": self._images / 1000 * self._price_per_1000,
      }


class TokenBucket:
  """Lets `rate` images through per second, in bursts of a second's worth;
  thread-safe.

  A larger request passes when the bucket is full, and those after it wait the
  longer.

  Args:
    rate: images per second.
    clock: seconds.
  """

  def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
    self._lock = threading.Lock()
    self._rate, self._clock = rate, clock
    self._level, self._seen = rate, clock()

  def take(self, images: int) -> float:
    """Takes them out and returns 0, or the seconds to wait first."""
    with self._lock:
      now = self._clock()
      gained = (now - self._seen) * self._rate
      self._level, self._seen = min(self._rate, self._level + gained), now
      lacking = min(images, self._rate) - self._level
      if lacking > 0:
        return lacking / self._rate
      self._level -= images
      return 0.0
