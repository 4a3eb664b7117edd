"""Runs that pay for every answer, killed and lied to.

A server that is slow on purpose serves a teacher whose label is the sum of all
pixels modulo the classes, so that one wrong bit anywhere shows in the student.

  JAXKD_KILLS=100 pytest -m slow -s tests/pipeline/test_paid_runs.py -k killed
"""

import asyncio
from collections import Counter
import json
import os
from pathlib import Path
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from fake_server import FakeServer  # noqa: E402

import jaxkd  # noqa: E402
from jaxkd import data
from jaxkd.runtime.metrics import read_metrics  # noqa: E402
from jaxkd.serve.app import build_app  # noqa: E402
from jaxkd.serve.inference import ServerConfig  # noqa: E402
from jaxkd.serve.server import serving  # noqa: E402
from jaxkd.teachers.ledger_cli import read_totals  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("JAXKD_KILLS", "10"))
ROUNDS = max(20, KILLS)
BATCH, PER_REQUEST = 10, 4  # requests of 4, 4 and 2 images, all in flight
IMAGES = ROUNDS * BATCH
DELAY_S = 0.1  # on the way to the server, and back


class Slow:
  """An ASGI application behind a slow line; counts the requests."""

  def __init__(self, app):
    self.app, self.requests, self.delay_s = app, 0, DELAY_S

  async def __call__(self, scope, receive, send):
    if scope["method"] != "POST":
      await self.app(scope, receive, send)
      return

    async def send_late(message):
      if message["type"] == "http.response.start":
        await asyncio.sleep(self.delay_s)
      await send(message)

    self.requests += 1
    await asyncio.sleep(self.delay_s)
    await self.app(scope, receive, send_late)

  @property
  def images(self):
    return self.app.state.stats.report()["images"]


def pixel_sum(variables, images):
  del variables
  levels = jnp.round(images * 255).astype(jnp.int32).reshape(len(images), -1)
  return jax.nn.one_hot(levels.sum(-1) % 10, 10)


@pytest.fixture
def slow():
  """A server and its url."""
  teacher = jaxkd.from_function(pixel_sum, {})
  spec = data.load("mnist_5k").spec
  settings = ServerConfig(name="net", access="label")
  app = Slow(build_app(teacher, spec, settings))
  with serving(app) as url:
    yield app, url


def start(folder, url, budget, rounds=ROUNDS, **queries):
  fields = {
    "image_size": 0,  # 28 pixels a side, as the set has them
    "student.model": "mlp",
    "synthesis.batch_size": BATCH,
    "synthesis.pass_batch_size": BATCH,
    "synthesis.num_rounds": rounds,
    "teacher.url": url,
    "teacher.model_name": "net",
    "teacher.authorization": "the test",
    "queries.budget": budget,
    "queries.images_per_request": PER_REQUEST,
    **{f"queries.{name}": value for name, value in queries.items()},
  }
  command = [
    sys.executable, "-m", "jaxkd.main", "--config=configs/ideal.py:smoke",
    f"--workdir={folder}",
  ]  # fmt: skip
  command += [f"--config.{name}={value}" for name, value in fields.items()]
  folder.mkdir(exist_ok=True)
  with (folder / "log").open("a") as log:
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def finish(folder, *arguments, status=0, **queries):
  """Runs to the end; gives the report and the student's tensors as bytes."""
  ended = start(folder, *arguments, **queries).wait(240)
  log = (folder / "log").read_text()
  assert ended == status, log[-2000:]
  if status:
    return log
  report = json.loads((folder / "report.json").read_text())
  tensors = load_file(folder / "student.safetensors")
  return report, {name: array.tobytes() for name, array in tensors.items()}


def records(folder):
  """Of the ledger, without a torn last one."""
  path = folder / "ledger.jsonl"
  lines = path.read_bytes().splitlines(True) if path.exists() else []
  return [json.loads(line) for line in lines if line.endswith(b"\n")]


def check_books(folder, server_images):
  """What holds at every instant; gives the totals, None before the first."""
  ledger = records(folder)
  if not ledger:
    assert not server_images
    return None
  images, answered, in_flight = {}, set(), Counter()
  for record in ledger:
    number = record.get("request")
    match record["record"]:
      case "reserved":
        images[number] = record["images"]
        assert answered.isdisjoint(record["images"])
        in_flight.update(record["images"])
        assert max(in_flight.values()) == 1
      case "answered":
        answered.update(images[number])
        in_flight.subtract(images[number])
      case "refused" | "unknown":
        in_flight.subtract(images[number])
  totals = read_totals(folder / "ledger.jsonl")
  assert totals.spent <= totals.budget
  assert server_images <= totals.sent
  assert totals.answered + totals.wrong == len(answered)
  return totals


def kill(process, server, *, requests, after_s, latest_s):
  """SIGKILL, `after_s` after so many requests, or when it has run `latest_s`.

  Returns:
    Whether it hit, or else the process had ended.
  """
  before, latest = server.requests, time.monotonic() + latest_s
  while server.requests < before + requests and time.monotonic() < latest:
    if process.poll() is not None:
      return False
    time.sleep(0.002)
  time.sleep(after_s)
  process.kill()
  return process.wait() != 0


def test_killed_again_and_again_it_pays_at_most_for_what_was_in_flight(
  slow, tmp_path
):
  server, url = slow
  # A kill loses a round's images at most; with these the budget has slack.
  budget = IMAGES + KILLS * BATCH
  began = time.monotonic()
  _, whole = finish(tmp_path / "whole", url, budget)
  whole_s = time.monotonic() - began
  assert check_books(tmp_path / "whole", server.images).spent == IMAGES
  served, folder = server.images, tmp_path / "killed"
  rng, seen = np.random.default_rng(0), Counter()
  while seen["kills"] < KILLS:
    before = server.requests
    process = start(folder, url, budget)
    hit = kill(
      process,
      server,
      requests=rng.integers(1, 4),
      after_s=rng.uniform(0, 3 * DELAY_S),
      latest_s=rng.uniform(0, whole_s),
    )
    totals = check_books(folder, server.images - served)
    if not hit:
      assert process.returncode == 0, (folder / "log").read_text()[-2000:]
    seen["kills"] += hit
    seen["after a request"] += hit and server.requests > before
    seen["in flight"] += bool(hit and totals and totals.in_flight)
  report, student = finish(folder, url, budget)
  totals = check_books(folder, server.images - served)
  print(dict(seen), f"{whole_s:.1f} s", server.images - served, totals)
  assert seen["in flight"]
  assert totals.answered == IMAGES
  assert totals.spent == IMAGES + totals.unknown
  assert report["queries"]["ended"] is None
  assert student == whole
  steps = [(line["stage"], line["step"]) for line in read_metrics(folder)]
  assert len(steps) == len(set(steps)) >= ROUNDS


def test_told_to_stop_it_does_not_wait_for_the_end_of_the_round(slow, tmp_path):
  server, url = slow
  rounds, budget = 3, 3 * BATCH
  _, whole = finish(tmp_path / "whole", url, budget, rounds)
  folder, before = tmp_path / "stopped", server.requests
  server.delay_s = 1.0  # a round takes three requests, 2 s each
  process = start(folder, url, budget, rounds, max_in_flight=1)
  while server.requests == before:
    assert process.poll() is None
    time.sleep(0.01)
  process.terminate()
  assert process.wait(60) == 143
  assert "The same command continues" in (folder / "log").read_text()
  assert server.requests == before + 1
  totals = read_totals(folder / "ledger.jsonl")
  assert (totals.answered, totals.in_flight, totals.spent) == (4, 0, 4)
  server.delay_s = DELAY_S
  report, student = finish(folder, url, budget, rounds)
  assert student == whole
  assert report["queries"]["spent"] == rounds * BATCH


def test_without_slack_it_ends_well_and_a_larger_budget_completes_it(
  slow, tmp_path
):
  server, url = slow
  rounds = 10
  budget = rounds * BATCH
  folder = tmp_path / "killed"
  for requests in (4, 5):  # within the second and a later round
    process = start(folder, url, budget, rounds)
    assert kill(process, server, requests=requests, after_s=0, latest_s=120)
    assert check_books(folder, server.images).in_flight
  report, _ = finish(folder, url, budget, rounds)
  totals = check_books(folder, server.images)
  assert totals.unknown
  found = report["queries"]
  assert found["spent"] == totals.spent <= budget
  assert found["unknown"] == totals.unknown
  assert "There is no answer to " in found["ended"]
  missing = found["ended"].split("the first: ")[1].rstrip(".").split(", ")
  assert all(len(name) == 32 for name in missing)
  answered = totals.answered
  served = server.images

  report, student = finish(folder, url, budget + totals.unknown, rounds)
  assert report["queries"]["ended"] is None
  totals = check_books(folder, server.images)
  assert server.images - served == totals.answered - answered
  assert totals.answered == rounds * BATCH
  _, whole = finish(tmp_path / "whole", url, budget, rounds)
  assert student == whole


def fake(faults=()):
  return FakeServer(faults, shape=(28, 28, 1), output="INT64")


def test_a_server_with_faults_changes_the_price_and_not_the_student(tmp_path):
  rounds = 10
  faults = []
  for fault in (
    "retry 429 Retry-After: 1", "500", "cut", "truncated", "reset", "stall",
    "retry 503 Retry-After: 0", "502",
  ):  # fmt: skip
    faults += ["", "", "", fault]
  budget = 2 * rounds * BATCH
  with fake() as server:
    _, whole = finish(tmp_path / "whole", server.url, budget, rounds)
    assert server.images == rounds * BATCH
  with fake(faults) as server:
    # A stalled attempt is given up after a third of the deadline.
    report, student = finish(
      tmp_path / "faults",
      server.url,
      budget,
      rounds,
      deadline_s=8.0,
      max_unanswered=20,
    )
    totals = check_books(tmp_path / "faults", server.images)
  assert not server.faults
  assert student == whole
  assert server.images == totals.sent
  assert totals.answered == rounds * BATCH
  assert totals.spent == totals.answered + totals.unknown
  assert totals.sent == totals.spent + totals.refused
  assert totals.unknown
  assert totals.refused
  assert totals.by_kind["retry"]
  assert report["queries"]["unknown"] == totals.unknown


@pytest.mark.parametrize("fault", ["wrong shape", "wrong count"])
def test_a_wrong_reply_ends_the_run_and_is_paid_for(tmp_path, fault):
  with fake(["", "", "", "", fault]) as server:
    log = finish(tmp_path, server.url, IMAGES, status=2)
    totals = check_books(tmp_path, server.images)
    assert server.images == totals.sent
  warnings = [line for line in log.splitlines() if line.startswith("jaxkd: ")]
  assert len(warnings) == 1
  assert "Traceback" not in log
  assert warnings[0].startswith("jaxkd: Request ")
  (lost,) = [r for r in records(tmp_path) if r["record"] == "unknown"]
  assert f"Request {lost['request']} " in warnings[0]
  assert totals.unknown
  assert not totals.in_flight
  assert totals.spent == totals.answered + totals.unknown


def test_a_wrong_answer_is_left_out_and_paid_for_once(tmp_path):
  rounds = 10
  with fake(["", "", "", "", "range"]) as server:
    report, _ = finish(tmp_path, server.url, rounds * BATCH, rounds)
    totals = check_books(tmp_path, server.images)
    assert server.images == totals.sent == totals.spent == rounds * BATCH
  assert report["queries"]["wrong"] == totals.wrong == 1
  assert report["queries"]["ended"] is None


def test_a_server_that_bills_and_never_answers_is_left_soon(tmp_path):
  server = fake(["500"] * 8)
  server.bills = lambda fault: True
  with server:
    log = finish(
      tmp_path,
      server.url,
      IMAGES,
      status=2,
      price_per_1000=2.0,
      max_in_flight=1,
    )
    lines = [line for line in log.splitlines() if line.startswith("jaxkd: ")]
    assert server.billed == check_books(tmp_path, server.images).spent == 12
    assert "12 images, which cost 0.024" in lines[-1]
    assert "queries.max_unanswered=3" in lines[-1]
    finish(
      tmp_path,
      server.url,
      IMAGES,
      status=2,
      price_per_1000=2.0,
      max_in_flight=1,
    )
    assert server.requests == 4
    assert server.billed == read_totals(tmp_path / "ledger.jsonl").spent
