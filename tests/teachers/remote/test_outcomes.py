"""The table of outcomes, and a server that bills by rules of its own."""

import contextlib
from pathlib import Path
import random

from fake_server import FAULTS, FakeServer, labels_of
import httpx
from mortal_ledger import Killed, MortalLedger
import numpy as np
import pytest
from remote_blocks import SPEC, queries_block, teacher_block

from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import (
  outcomes,
  served_teacher,
  transport as transports,
)
from jaxkd.teachers.remote.outcomes import Cost, of_status

README = Path(outcomes.__file__).with_name("README.md")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  monkeypatch.setattr(transports, "FIRST_WAIT_S", 0.001)
  monkeypatch.setenv("NO_PROXY", "*")


def test_the_readme_shows_the_table():
  assert outcomes.markdown() in README.read_text()


def test_few_statuses_are_free():
  free = {s for s in range(100, 1000) if of_status(s).cost == Cost.FREE}
  assert {401, 403, 404, 413, 425, 429, 503, 307} < free
  assert not free & {303, 400, 408, 409, 422, 424, 499, 500, 501, 502, 504}


def test_words_are_no_excuse_after_the_work():
  for status in (408, 500, 502, 504):
    assert of_status(status, "ThrottlingException").cost == Cost.UNKNOWN
  assert of_status(400, "Error loading image 3").cost == Cost.UNKNOWN


def test_every_exception_of_the_client_has_a_row():
  for name in httpx.__all__:
    kind = getattr(httpx, name)
    if isinstance(kind, type) and issubclass(kind, httpx.HTTPError):
      assert outcomes.of_exception(
        kind("x")
        if kind is not httpx.HTTPStatusError
        else kind("x", request=None, response=None)
      )
  lost = httpx.ReadTimeout("x")
  assert outcomes.of_exception(lost).cost == Cost.UNKNOWN


@pytest.mark.parametrize(
  "seed",
  [*range(6), *(pytest.param(n, marks=pytest.mark.slow) for n in range(6, 60))],
)
def test_the_server_never_bills_more_than_the_ledger_counts(tmp_path, seed):
  rng = random.Random(seed)
  images = np.random.default_rng(seed).integers(
    0, 256, (rng.randint(1, 40), 4, 4, 1), np.uint8
  )
  budget = rng.randint(len(images), 4 * len(images))
  bills = {
    fault: rng.choice([True, True, False])
    for fault, row in FAULTS.items()
    if outcomes.get(row).cost != Cost.FREE
  } | {"": True}
  kinds = [f for f in FAULTS if f not in ("nan", "range", "stall")]
  faults = [rng.choice(kinds) for _ in range(rng.randint(0, 30))]
  path, done = tmp_path / "ledger.jsonl", False
  with FakeServer(faults, bills=lambda fault: bills.get(fault)) as server:
    for _ in range(40):
      with MortalLedger(path, budget=budget) as ledger:
        if rng.random() < 0.3:
          ledger.writes_left = rng.randint(1, 20)
        try:
          queries = queries_block(
            images_per_request=rng.randint(1, 8),
            max_in_flight=rng.randint(1, 4),
            deadline_s=30.0,
            max_unanswered=rng.randint(1, 5),
          )
          remote = served_teacher.open_teacher(
            SPEC, teacher_block(server.url), queries, ledger
          )
          with contextlib.closing(remote):
            answers = remote.answer(images)
          done = True
        except (JaxkdError, Killed):
          pass
      with Ledger(path, budget=budget) as ledger:
        totals = ledger.totals()
      assert server.billed <= totals.spent <= budget
      if done:
        np.testing.assert_array_equal(answers, labels_of(images))
        break
      if totals.spent + len(images) > budget:
        break
    assert done or totals.spent + len(images) > budget
