"""A server that bills and does not answer, and how much it may cost."""

import contextlib
import time

from fake_server import FakeServer, labels_of
import numpy as np
import pytest
from remote_blocks import SPEC, queries_block, teacher_block

from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.ledger_cli import read_totals
from jaxkd.teachers.remote import served_teacher, transport as transports


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  monkeypatch.setattr(transports, "FIRST_WAIT_S", 0.001)
  monkeypatch.setenv("NO_PROXY", "*")


def some_images(count):
  key = np.random.default_rng(0)
  return key.integers(0, 256, (count, 4, 4, 1), np.uint8)


def ask(server, path, count=400, **queries):
  """One start of a run; returns the answers, or the message of its error."""
  with Ledger(path, budget=1000, price_per_1000=2.0) as ledger:
    block = queries_block(**queries)
    remote = served_teacher.open_teacher(
      SPEC, teacher_block(server.url), block, ledger
    )
    with contextlib.closing(remote):
      try:
        return remote.answer(some_images(count))
      except JaxkdError as error:
        return str(error)


@pytest.mark.parametrize("fault", ["500", "close", "cut"])
def test_a_server_that_bills_and_never_answers_is_left_soon(tmp_path, fault):
  path = tmp_path / "ledger.jsonl"
  with FakeServer(bills=lambda fault: True) as server:
    server.faults = Endless(fault)
    message = ask(server, path)
    assert server.requests in (3, 4)  # 4 may be in flight before the first ends
    assert server.billed == read_totals(path).spent == 8 * server.requests
    assert f"{server.billed} images, which cost {server.billed / 500:g}" in (
      message
    )
    assert "queries.max_unanswered=3" in message
    assert "in a row may have been billed" in message
    # A start that follows sends one request first, and again one.
    for extra in (1, 2):
      before = server.requests
      assert f"{server.billed + 8} images" in ask(server, path)
      assert server.requests - before == 1, extra
    # Once the server answers, the limit is lifted.
    server.faults = Endless("")
    answers = ask(server, path)
    np.testing.assert_array_equal(answers, labels_of(some_images(400)))
    assert server.requests > 50


class Endless:
  """The same fault again and again."""

  def __init__(self, fault):
    self.fault = fault

  def __bool__(self):
    return True

  def popleft(self):
    return self.fault


def test_the_first_request_of_a_start_that_follows_is_alone(tmp_path):
  path, arrivals = tmp_path / "ledger.jsonl", []
  with FakeServer(["500"] * 4, bills=lambda fault: True) as server:
    ask(server, path)
    server.faults.clear()
    server.delays.extend([0.3])
    server.bills = lambda fault: arrivals.append(time.monotonic()) or True
    answers = ask(server, path)
  assert arrivals[1] - arrivals[0] > 0.25
  np.testing.assert_array_equal(answers, labels_of(some_images(400)))


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_the_field_sets_how_many_are_lost(tmp_path, limit):
  with FakeServer(bills=lambda fault: True) as server:
    server.faults = Endless("500")
    message = ask(
      server,
      tmp_path / "ledger.jsonl",
      max_in_flight=2,
      max_unanswered=limit,
    )
    assert f"queries.max_unanswered={limit} sets" in message
    assert limit <= server.requests <= max(2, limit)


def test_an_answer_starts_the_count_anew(tmp_path):
  path = tmp_path / "ledger.jsonl"
  with FakeServer(["500", "500", "", "500", "500", ""]) as server:
    answers = ask(server, path, 24, max_in_flight=1)
  np.testing.assert_array_equal(answers, labels_of(some_images(24)))


def test_what_is_free_never_counts(tmp_path):
  faults = ["retry 429", "retry 503", "400 ThrottlingException"] * 3
  with FakeServer(faults) as server:
    answers = ask(server, tmp_path / "ledger.jsonl", 8)
  np.testing.assert_array_equal(answers, labels_of(some_images(8)))


def test_a_run_that_was_killed_does_not_count(tmp_path):
  path = tmp_path / "ledger.jsonl"
  with Ledger(path, budget=1000) as ledger:
    for index in range(5):
      ledger.sent(ledger.reserve([f"{index}"]))
  with Ledger(path, budget=1000) as ledger:
    assert ledger.unanswered().requests == 0
    assert ledger.totals().unknown == 5
