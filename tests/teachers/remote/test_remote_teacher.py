"""The requests, retries and accounting of a remote teacher, without HTTP."""

import itertools
import random
import threading
import time

import numpy as np
import pytest

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import checkpoints
from jaxkd.runtime.checkpoints import Preempted
from jaxkd.teachers.answers import CheckedAnswers, are_valid, digest
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import (
  remote_teacher as remotes,
  transport as transports,
)
from jaxkd.teachers.remote.remote_teacher import RemoteTeacher
from jaxkd.teachers.remote.transport import (
  Backoff,
  NotServed,
  OutcomeUnknown,
  PermanentError,
  TooLarge,
  preflight,
)
from jaxkd.teachers.replay import Replay


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
  monkeypatch.setattr(transports, "FIRST_WAIT_S", 0.002)


@pytest.fixture
def ledger(tmp_path):
  with Ledger(tmp_path / "ledger.jsonl", budget=1000) as ledger:
    yield ledger


def some_images(count, seed=0):
  key = np.random.default_rng(seed)
  return key.integers(0, 256, (count, 2, 3, 1), np.uint8)


def labels_of(images):
  return images.sum((1, 2, 3)).astype(np.int32)


class Scripted:
  """A transport that raises given errors, then answers by the pixels."""

  def __init__(self, *errors, work=lambda images: None, answers=labels_of):
    self.errors = iter(errors)
    self.work, self.answers = work, answers
    self.sizes, self.timeouts = [], []
    self.busy = self.max_in_flight = 0
    self.lock = threading.Lock()

  def check(self):
    self.send(np.zeros((0, 2, 3, 1), np.uint8), timeout_s=1, key="")

  def size(self, images):
    return 10 * len(images)

  def close(self):
    self.closed = True

  def send(self, images, *, timeout_s, key):
    with self.lock:
      self.busy += 1
      self.max_in_flight = max(self.max_in_flight, self.busy)
      self.sizes.append(len(images))
      self.timeouts.append(timeout_s)
      error = next(self.errors, None)
    try:
      self.work(images)
      if error:
        raise error
      answers = self.answers(images)
      return (
        answers
        if isinstance(answers, CheckedAnswers)
        else CheckedAnswers(answers)
      )
    finally:
      with self.lock:
        self.busy -= 1


def remote_to(transport, ledger, **settings):
  defaults = {
    "access": "label",
    "images_per_request": 4,
    "bytes_per_request": 1000,
    "max_in_flight": 3,
    "deadline_s": 5.0,
    "max_unanswered": 3,
  }
  return RemoteTeacher(transport, ledger, **{**defaults, **settings})


def test_order_is_restored_and_requests_in_flight_are_bounded(ledger):
  waits = iter([0.06, 0.04, 0.02] + [0.0] * 20)
  transport = Scripted(work=lambda images: time.sleep(next(waits)))
  images = some_images(30)
  answers = remote_to(transport, ledger).answer(images)
  np.testing.assert_array_equal(answers, labels_of(images))
  assert answers.dtype == np.int32
  assert transport.max_in_flight == 3
  assert sorted(transport.sizes) == [2] + [4] * 7
  totals = ledger.totals()
  assert (totals.sent, totals.answered, totals.spent) == (30, 30, 30)


def test_the_same_image_is_asked_once(ledger):
  transport = Scripted()
  remote = remote_to(transport, ledger)
  images = some_images(3)
  twice = np.concatenate([images, images[::-1]])
  np.testing.assert_array_equal(remote.answer(twice), labels_of(twice))
  np.testing.assert_array_equal(
    remote.answer(images[1:]), labels_of(images[1:])
  )
  assert transport.sizes == [3]
  assert remote.answer(images[:0]).shape == (0,)


def test_scores_come_back_bit_for_bit(ledger):
  def scores(images):
    return np.log(labels_of(images)[:, None] / np.float32([3, 7, 11]) + 1)

  remote = remote_to(Scripted(answers=scores), ledger, access="probs")
  images = some_images(5)
  answers = remote.answer(images)
  assert answers.dtype == np.float32
  np.testing.assert_array_equal(answers, scores(images).astype(np.float32))


def test_not_served_costs_nothing_and_unknown_stays_spent(ledger):
  transport = Scripted(
    NotServed("429"), OutcomeUnknown("reset"), NotServed("503")
  )
  images = some_images(4)
  remote = remote_to(transport, ledger)
  np.testing.assert_array_equal(
    remote.answer(images, kind="evaluate"), labels_of(images)
  )
  totals = ledger.totals()
  assert (totals.sent, totals.refused, totals.unknown) == (16, 8, 4)
  assert totals.spent == 8
  assert totals.by_kind == {"train": 0, "evaluate": 4, "retry": 4}


def test_too_large_halves_and_is_remembered(ledger):
  def at_most_three(images):
    if len(images) > 3:
      raise TooLarge("413")

  transport = Scripted(work=at_most_three)
  remote = remote_to(transport, ledger, images_per_request=12, max_in_flight=1)
  images = some_images(12)
  np.testing.assert_array_equal(remote.answer(images), labels_of(images))
  assert transport.sizes == [12, 6, 3, 3, 3, 3]
  remote.answer(some_images(6, seed=1))
  assert transport.sizes[6:] == [3, 3]
  assert ledger.totals().spent == 18


def test_one_image_that_is_too_large_is_an_error_that_costs_nothing(ledger):
  remote = remote_to(Scripted(TooLarge("413")), ledger)
  for _ in range(2):
    with pytest.raises(JaxkdError, match="One image .* 10 bytes"):
      remote.answer(some_images(1))
  assert ledger.totals().spent == 0
  with pytest.raises(JaxkdError, match="bytes_per_request=9"):
    remote_to(Scripted(), ledger, bytes_per_request=9).answer(some_images(2))


def test_requests_are_limited_by_bytes(ledger):
  transport = Scripted()
  images = some_images(8)
  remote = remote_to(
    transport, ledger, images_per_request=8, bytes_per_request=25
  )
  np.testing.assert_array_equal(remote.answer(images), labels_of(images))
  assert transport.sizes == [2, 2, 2, 2]


@pytest.mark.parametrize(
  ("error", "unknown"),
  [
    (PermanentError("400 Bad Request"), 0),
    (JaxkdError("NaN"), 4),
    (MemoryError("none left"), 4),
  ],
)
def test_what_cannot_be_repeated_ends_the_run_and_is_recorded(
  ledger, error, unknown
):
  images = some_images(4)
  remote = remote_to(Scripted(error), ledger)
  named = f"Request 1 .4 images, the first {digest(images[0])}.*{error}"
  named = named if isinstance(error, JaxkdError) else str(error)
  with pytest.raises((JaxkdError, MemoryError), match=named):
    remote.answer(images)
  totals = ledger.totals()
  assert (totals.spent, totals.unknown, totals.in_flight) == (
    unknown,
    unknown,
    0,
  )
  assert totals.refused == 4 - unknown


def test_an_error_lets_the_other_requests_end(ledger):
  order, both_are_sent = itertools.count(), threading.Barrier(2)

  def work(images):
    index = next(order)
    if index < 2:
      both_are_sent.wait(timeout=60)
    if index == 0:
      raise JaxkdError("NaN")
    time.sleep(0.05)

  transport = Scripted(work=work)
  with pytest.raises(JaxkdError, match="NaN"):
    remote_to(transport, ledger, max_in_flight=2).answer(some_images(40))
  totals = ledger.totals()
  assert totals.in_flight == 0
  assert (totals.unknown, totals.answered) in [(4, 4), (4, 8)]


def test_an_interrupt_lets_requests_in_flight_end(ledger, monkeypatch):
  def interrupted(futures, timeout, return_when):
    del futures, timeout, return_when
    while not transport.busy:
      time.sleep(0.001)
    raise KeyboardInterrupt

  monkeypatch.setattr(remotes, "wait", interrupted)
  transport = Scripted(work=lambda images: time.sleep(0.05))
  remote = remote_to(transport, ledger, max_in_flight=1)
  with pytest.raises(KeyboardInterrupt):
    remote.answer(some_images(12))
  totals = ledger.totals()
  assert (totals.answered, totals.in_flight, totals.spent) == (4, 0, 4)


@pytest.fixture
def told_to_stop():
  """Tells the run to stop, when it is called."""
  yield checkpoints._stop.set
  checkpoints._stop.clear()


def test_told_to_stop_it_ends_what_is_under_way_and_sends_no_more(
  ledger, told_to_stop
):
  both_are_sent = threading.Barrier(2)

  def work(images):
    both_are_sent.wait(timeout=60)
    told_to_stop()
    time.sleep(0.3)  # past the next look

  transport, images = Scripted(work=work), some_images(40)
  remote = remote_to(transport, ledger, max_in_flight=2)
  with pytest.raises(Preempted):
    remote.answer(images)
  assert transport.sizes == [4, 4]
  totals = ledger.totals()
  assert (totals.answered, totals.in_flight, totals.spent) == (8, 0, 8)
  checkpoints._stop.clear()
  transport.work = lambda images: None
  np.testing.assert_array_equal(remote.answer(images), labels_of(images))
  assert ledger.totals().spent == 40


def test_told_to_stop_it_does_not_wait_to_try_again(
  ledger, told_to_stop, monkeypatch
):
  monkeypatch.setattr(random, "uniform", lambda low, high: 4.0)
  transport = Scripted(NotServed("429"), work=lambda images: told_to_stop())
  began = time.monotonic()
  with pytest.raises(Preempted):
    remote_to(transport, ledger).answer(some_images(4))
  assert time.monotonic() - began < 2
  assert ledger.totals().spent == 0


def test_told_to_stop_with_every_answer_there_it_gives_them(
  ledger, told_to_stop
):
  images = some_images(4)
  remote = remote_to(Scripted(), ledger)
  remote.answer(images)
  told_to_stop()
  np.testing.assert_array_equal(remote.answer(images), labels_of(images))


def test_the_budget_ends_cleanly_and_names_what_is_missing(tmp_path):
  path = tmp_path / "ledger.jsonl"
  images = some_images(12)
  with Ledger(path, budget=10) as ledger:
    remote = remote_to(Scripted(), ledger, max_in_flight=1)
    with pytest.raises(BudgetExhausted) as error:
      remote.answer(images)
    assert "4 of 12 new images" in str(error.value)
    assert digest(images[8]) in str(error.value)
    assert (ledger.totals().spent, ledger.totals().in_flight) == (8, 0)
  with Ledger(path, budget=12) as ledger:
    transport = Scripted()
    answers = remote_to(transport, ledger).answer(images)
    assert transport.sizes == [4]
  np.testing.assert_array_equal(answers, labels_of(images))


def test_a_retry_that_the_budget_does_not_pay_for(tmp_path):
  with Ledger(tmp_path / "ledger.jsonl", budget=7) as ledger:
    remote = remote_to(Scripted(OutcomeUnknown("reset")), ledger)
    with pytest.raises(BudgetExhausted, match="4 of 4 new .* failed: reset"):
      remote.answer(some_images(4))
    assert (ledger.totals().spent, ledger.totals().unknown) == (4, 4)


def test_the_deadline_ends_it_and_names_the_last_attempt(ledger):
  transport = Scripted(*[NotServed("503 Service Unavailable")] * 1000)
  start = time.monotonic()
  with pytest.raises(JaxkdError, match=r"Request \d+ .*0.1 s.*503 Service"):
    remote_to(transport, ledger, deadline_s=0.1).answer(some_images(1))
  assert time.monotonic() - start < 1
  assert len(transport.sizes) > 2
  assert max(transport.timeouts) <= 0.1 / transports.MIN_ATTEMPTS
  assert ledger.totals().spent == 0


def test_the_servers_wait_is_kept_and_never_past_the_deadline(monkeypatch):
  monkeypatch.setattr(random, "uniform", lambda low, high: high)
  backoff = Backoff(60.0)
  assert backoff.wait_s(OutcomeUnknown("500")) == 0.002
  assert backoff.wait_s(OutcomeUnknown("500")) == 0.004
  assert backoff.wait_s(NotServed("429", 3.0)) == 3.008
  with pytest.raises(JaxkdError, match="429"):
    backoff.wait_s(NotServed("429", 61.0))


def test_jitter_is_full():
  waits = [Backoff(60.0).wait_s(OutcomeUnknown("500")) for _ in range(50)]
  assert min(waits) < 0.0005
  assert 0.0015 < max(waits) <= 0.002


def test_preflight_waits_for_a_server_that_starts():
  transport = Scripted(NotServed("503"), OutcomeUnknown("timeout"))
  preflight(transport, 1.0, 1.0)
  assert len(transport.sizes) == 3
  with pytest.raises(JaxkdError, match="503"):
    preflight(Scripted(*[NotServed("503")] * 1000), 0.05, 1.0)
  with pytest.raises(PermanentError, match="404"):
    preflight(Scripted(PermanentError("404")), 1.0, 1.0)


def test_replay_sends_nothing_and_names_what_is_missing(tmp_path):
  path, images = tmp_path / "ledger.jsonl", some_images(6)
  with Ledger(path, budget=10) as ledger:
    remote_to(Scripted(), ledger).answer(images)
  before = path.read_bytes()
  replay = Replay(path, "label")
  np.testing.assert_array_equal(
    replay.answer(images[::-1]), labels_of(images[::-1])
  )
  other = some_images(1, seed=1)
  with pytest.raises(JaxkdError, match=f"1 of 2 images.*{digest(other[0])}"):
    replay.answer(np.concatenate([images[:1], other]))
  with pytest.raises(JaxkdError, match="access=probs"):
    Replay(path, "probs").answer(images)
  assert path.read_bytes() == before
  with pytest.raises(JaxkdError, match="teacher.replay.*No such file"):
    Replay(tmp_path / "none", "label")


def test_float_images_are_refused(ledger):
  with pytest.raises(JaxkdError, match="uint8.*float32"):
    remote_to(Scripted(), ledger).answer(np.zeros((1, 2, 3, 1), np.float32))


def test_close_reaches_the_transport(ledger):
  transport = Scripted()
  remote_to(transport, ledger).close()
  assert transport.closed


def test_good_answers_of_a_reply_are_kept_and_the_rest_is_booked(tmp_path):
  path, images = tmp_path / "ledger.jsonl", some_images(8)

  def answers(images):
    return CheckedAnswers(labels_of(images), {1: "The reply holds NaN."})

  transport = Scripted(answers=answers)
  with Ledger(path, budget=100) as ledger:
    labels = remote_to(transport, ledger, max_in_flight=1).answer(images)
    totals = ledger.totals()
  valid = np.arange(8) % 4 != 1
  np.testing.assert_array_equal(are_valid(labels), valid)
  np.testing.assert_array_equal(labels[valid], labels_of(images)[valid])
  assert (totals.answered, totals.wrong, totals.spent) == (6, 2, 8)
  # A start that follows asks for none of them on its own.
  with Ledger(path, budget=100) as ledger:
    again = remote_to(transport, ledger).answer(images)
    np.testing.assert_array_equal(again, labels)
    assert transport.sizes == [4, 4]
    np.testing.assert_array_equal(Replay(path, "label").answer(images), labels)
    # It does if told to, once.
    remote = remote_to(Scripted(), ledger, ask_again=True)
    np.testing.assert_array_equal(remote.answer(images), labels_of(images))
    assert ledger.totals().spent == 10
    assert not any(ledger.is_wrong(digest(image)) for image in images)


def test_answers_that_are_all_wrong_count_as_none(tmp_path):
  def nothing(images):
    wrong = dict.fromkeys(range(len(images)), "The reply holds NaN.")
    return CheckedAnswers(labels_of(images), wrong)

  transport = Scripted(answers=nothing)
  with Ledger(tmp_path / "ledger.jsonl", budget=1000) as ledger:
    remote = remote_to(transport, ledger, max_in_flight=1)
    with pytest.raises(JaxkdError, match="12 images.*The reply holds NaN"):
      remote.answer(some_images(200))
    assert transport.sizes == [4, 4, 4]
    assert (ledger.totals().wrong, ledger.totals().spent) == (12, 12)
