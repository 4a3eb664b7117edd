"""Answered images are counted and priced; a rate limit is a token bucket."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxkd.serve.metering import ServerStats, TokenBucket


def test_answers_are_counted_and_priced_and_refusals_are_free():
  stats = ServerStats(price_per_1000=2.0)
  with ThreadPoolExecutor(4) as pool:
    list(pool.map(stats.count_answer, [1, 2, 3, 4] * 5))
  stats.count_refusal()
  assert stats.report() == {
    "images": 50,
    "requests": 20,
    "refused": 1,
    "income": pytest.approx(0.1),
  }


def test_a_token_bucket_keeps_to_its_rate():
  now = [0.0]
  bucket = TokenBucket(10, lambda: now[0])
  assert bucket.take(6) == 0
  assert bucket.take(6) == pytest.approx(0.2)
  now[0] += 0.2
  assert bucket.take(6) == 0
  now[0] += 100  # no more than a second's worth is saved up
  assert bucket.take(25) == 0
  assert bucket.take(1) == pytest.approx(1.6)
