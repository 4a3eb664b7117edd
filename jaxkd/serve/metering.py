"""The statistics of a server, and the limit of its rate."""

from collections.abc import Callable
import threading
import time


class ServerStats:
  """Counts images and requests; thread-safe.

  Args:
    price_per_1000: the price of 1000 images.
  """

  def __init__(self, price_per_1000: float):
    self._lock = threading.Lock()
    self._price_per_1000 = price_per_1000
    self._images = self._requests = self._refused = 0

  def count_answer(self, images: int) -> None:
    """Counts a request that is about to be answered."""
    with self._lock:
      self._images += images
      self._requests += 1

  def count_refusal(self) -> None:
    """Counts a request that gets no answer and costs nothing."""
    with self._lock:
      self._refused += 1

  def report(self) -> dict[str, float]:
    """Returns `images` and `requests` answered, `refused`, and `income`."""
    with self._lock:
      return {
        "images": self._images,
        "requests": self._requests,
        "refused": self._refused,
        "income": self._images / 1000 * self._price_per_1000,
      }


class TokenBucket:
  """Limits images per second by the token bucket algorithm; thread-safe.

  The bucket holds a second's number of images. A larger request passes when the
  bucket is full, and the requests after it wait longer.

  Args:
    rate: images per second.
    clock: returns seconds.
  """

  def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
    self._lock = threading.Lock()
    self._rate, self._clock = rate, clock
    self._level, self._updated = rate, clock()

  def take(self, images: int) -> float:
    """Takes images and returns 0, or takes none and returns seconds to wait."""
    with self._lock:
      now = self._clock()
      gained = (now - self._updated) * self._rate
      self._level, self._updated = min(self._rate, self._level + gained), now
      lacking = min(images, self._rate) - self._level
      if lacking > 0:
        return lacking / self._rate
      self._level -= images
      return 0.0
