"""Random sequences of faults, kills, stops and restarts, with a small method.

The method asks about the images of a few rounds, which a start repeats as a
run does. Its totals stand in jaxkd/teachers/remote/README.md:

  pytest -m slow -s tests/teachers/remote/test_drill.py
"""

from collections import Counter
import contextlib
import json
import random

from fake_server import FAULTS, FakeServer, labels_of
from mortal_ledger import Killed, MortalLedger
import numpy as np
import pytest
from remote_blocks import SPEC, queries_block, teacher_block

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import checkpoints
from jaxkd.runtime.checkpoints import Preempted
from jaxkd.teachers.answers import are_valid
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import outcomes, served_teacher, transport
from jaxkd.teachers.remote.outcomes import Cost
from jaxkd.teachers.replay import Replay

STARTS = 60  # of one sequence, at most


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  monkeypatch.setattr(transport, "FIRST_WAIT_S", 0.001)
  monkeypatch.setenv("NO_PROXY", "*")
  yield
  checkpoints._stop.clear()


class Sequence:
  """One sequence: a server, a ledger, and a run that is started anew."""

  def __init__(self, path, seed):
    self.rng = random.Random(seed)
    self.path, self.totals = path, Counter(sequences=1)
    images = np.random.default_rng(seed)
    self.rounds = [
      images.integers(0, 256, (self.rng.randint(1, 20), 4, 4, 1), np.uint8)
      for _ in range(self.rng.randint(1, 4))
    ]
    self.budget = sum(map(len, self.rounds)) + self.rng.randint(0, 40)
    kinds = self.rng.sample(sorted(FAULTS), self.rng.randint(1, 12))
    count = self.rng.randint(0, 30)
    self.faults = [self.rng.choice(["", *kinds]) for _ in range(count)]
    self.faults = [f for f in self.faults if f != "stall"][:30]
    if "stall" in kinds:
      self.faults.append("stall")
    self.bills = {fault: self.rng.random() < 0.7 for fault in FAULTS}
    self.stop_at = 0

  def is_billed(self, fault):
    """Whether the server bills; told to stop in the middle of a request."""
    self.stop_at -= 1
    if self.stop_at == 0:
      checkpoints._stop.set()
    if fault:
      self.totals[f"faults: {outcomes.get(FAULTS[fault]).cost}"] += 1
    if not fault or outcomes.get(FAULTS[fault]).cost == Cost.SPENT:
      return True
    free = outcomes.get(FAULTS[fault]).cost == Cost.FREE
    return not free and self.bills[fault]

  def run(self):
    """Starts the run until it ends; returns its totals."""
    with FakeServer(
      self.faults, bills=self.is_billed, output="INT64"
    ) as server:
      for _ in range(STARTS):
        answers = self.start(server)
        with Ledger(self.path, budget=self.budget) as ledger:
          totals = ledger.totals()
        assert server.billed <= totals.spent <= self.budget
        assert not totals.in_flight
        assert totals.spent == totals.answered + totals.wrong + totals.unknown
        if answers:
          break
      else:
        raise AssertionError("the run does not end")
    self.check(answers)
    self.totals.update(
      billed=server.billed,
      **{
        name: getattr(totals, name)
        for name in ("spent", "answered", "wrong", "unknown", "refused")
      },
    )
    return self.totals

  def start(self, server):
    """One start; returns the answers if it comes to the end."""
    self.totals["starts"] += 1
    end = self.rng.choice(["", "", "kill", "kill", "stop"])
    self.stop_at = self.rng.randint(1, 6) if end == "stop" else 0
    checkpoints._stop.clear()
    queries = queries_block(
      images_per_request=self.rng.randint(1, 8),
      max_in_flight=self.rng.randint(1, 4),
      max_unanswered=self.rng.randint(1, 4),
      deadline_s=1.5,
    )
    with MortalLedger(self.path, budget=self.budget) as ledger:
      if end == "kill":
        ledger.writes_left = self.rng.randint(1, 25)
        ledger.torn = self.rng.random() < 0.5
      try:
        remote = served_teacher.open_teacher(
          SPEC, teacher_block(server.url), queries, ledger
        )
        with contextlib.closing(remote):
          return [remote.answer(images) for images in self.rounds]
      except Killed:
        self.totals["killed"] += 1
      except Preempted:
        self.totals["stopped"] += 1
      except BudgetExhausted:
        self.totals["out of budget"] += 1
        self.budget += sum(map(len, self.rounds))
      except JaxkdError:
        self.totals["ended by an error"] += 1
    return None

  def check(self, answers):
    """The answers are the server's, and a replay gives the same ones."""
    replay = Replay(self.path, "label")
    for images, given in zip(self.rounds, answers, strict=True):
      valid = are_valid(given)
      np.testing.assert_array_equal(given[valid], labels_of(images)[valid])
      np.testing.assert_array_equal(replay.answer(images), given)
    settled, reserved = set(), {}
    for record in map(json.loads, self.path.read_text().splitlines()):
      if record["record"] == "reserved":
        assert settled.isdisjoint(record["images"])  # none is paid for again
        reserved[record["request"]] = record["images"]
      elif record["record"] == "answered":
        settled.update(reserved[record["request"]])


def drill(tmp_path, seeds):
  totals = Counter()
  for seed in seeds:
    totals += Sequence(tmp_path / f"{seed}.jsonl", seed).run()
  return totals


def test_some_sequences(tmp_path):
  assert drill(tmp_path, range(6))["sequences"] == 6


@pytest.mark.slow
def test_many_sequences(tmp_path):
  totals = drill(tmp_path, range(200))
  print("\n" + ", ".join(f"{name} {n:,}" for name, n in totals.items()))
  assert totals["sequences"] == 200
  assert min(totals[name] for name in ("killed", "stopped", "wrong")) > 10
