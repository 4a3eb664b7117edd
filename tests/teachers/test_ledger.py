"""The query ledger never counts too few images, whatever happens to it."""

from concurrent.futures import ThreadPoolExecutor
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.teachers import ledger as ledger_module
from jaxkd.teachers.answers import digest
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.ledger_cli import main, read_totals
from jaxkd.teachers.ledger_state import QUERY_KINDS
from jaxkd.teachers.records import add_checksum, read_ledger


def names(*numbers):
  return [f"{number:032x}" for number in numbers]


def complete_lines(path):
  return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "ledger.jsonl"


@pytest.fixture
def no_fsync(monkeypatch):
  """Skips fsync in tests that write hundreds of sessions."""
  monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def recorded(path, no_fsync):
  """A session with every kind of record, two requests in flight at its end."""
  with Ledger(path, budget=40, price_per_1000=1.5) as ledger:
    first = ledger.reserve(names(1, 2, 3))
    ledger.sent(first)
    ledger.answered(first, [7, 8, 9])
    second = ledger.reserve(names(4, 5), "evaluate")
    ledger.sent(second)
    ledger.unknown(second, "timed out")
    third = ledger.reserve(names(6), "retry")
    ledger.sent(third)
    ledger.refused(third, "429")
    ledger.record_bulk("round 0", 10)
    fourth = ledger.reserve(names(4), "retry")
    ledger.sent(fourth)
    ledger.answered(fourth, [[0.1, 0.9]])
    ledger.sent(ledger.reserve(names(10, 11)))
    ledger.reserve(names(12, 13))
  return path


def test_digest_tells_content_shape_and_dtype():
  image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
  others = [
    image + np.uint8(1),
    image.reshape(2, 3, 2),
    image.astype(np.uint16),
    image.view(np.int8),
    image.transpose(1, 0, 2),
  ]
  assert len(digest(image)) == 32
  assert digest(image) == digest(np.asfortranarray(image.copy()))
  assert len({digest(each) for each in [image, *others]}) == 6


def test_every_state_of_a_request_in_the_totals(path):
  with Ledger(path, budget=20, price_per_1000=2.0) as ledger:
    assert ledger.totals()[:9] == (
      20,
      0,
      0,
      0,
      0,
      0,
      0,
      dict.fromkeys(QUERY_KINDS, 0),
      0,
    )
    one = ledger.reserve(names(1, 2, 3))
    assert ledger.totals()[1:7] == (3, 0, 0, 0, 0, 3)
    ledger.sent(one)
    assert ledger.totals()[1:7] == (3, 3, 0, 0, 0, 3)
    ledger.answered(one, [0, 1, 2])
    assert ledger.totals()[1:7] == (3, 3, 3, 0, 0, 0)
    two = ledger.reserve(names(4, 5), "evaluate")
    ledger.sent(two)
    ledger.unknown(two, "reset")
    assert ledger.totals()[1:7] == (5, 5, 3, 2, 0, 0)
    three = ledger.reserve(names(4, 5), "retry")
    ledger.sent(three)
    ledger.refused(three, "429")
    assert ledger.totals()[1:7] == (5, 7, 3, 2, 2, 0)
    ledger.record_bulk("round 0", 6)
    ledger.reserve(names(9), "evaluate")
    totals = ledger.totals()
    assert totals[1:7] == (12, 7, 3, 2, 2, 1)
    assert totals.by_kind == {"train": 9, "evaluate": 3, "retry": 0}
    assert totals.price == pytest.approx(0.024)
    assert read_totals(path) == totals


def test_answers_come_back_as_given_also_from_disk(path):
  rng = np.random.default_rng(0)
  scores = np.float32(rng.normal(size=(50, 5)) * 10.0 ** rng.integers(-40, 30))
  scores[0, :3] = np.finfo(np.float32).tiny, -np.inf, 0.1
  with Ledger(path) as ledger:
    ledger.answered(ledger.reserve(names(1, 2)), np.array([3, 4], np.int32))
    ledger.answered(ledger.reserve(names(*range(10, 60))), scores)
    live = [ledger.answer(name) for name in names(1, *range(10, 60), 99)]
  with Ledger(path) as ledger:
    assert live == [
      ledger.answer(name) for name in names(1, *range(10, 60), 99)
    ]
  assert live[0] == 3 and type(live[0]) is int and live[-1] is None
  assert np.array_equal(np.float32(live[1:-1]), scores)


def test_a_million_answers_of_a_hundred_classes_fit_into_memory(path, no_fsync):
  count, classes = 2000, 100
  scores = np.random.default_rng(0).random((count, classes))
  with Ledger(path) as ledger:
    request = ledger.reserve(names(*range(count)))
    ledger.answered(request, np.float32(scores).tolist())
  tracemalloc.start()
  state, _ = read_ledger(path)
  held, _ = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(state.answers) == count
  assert held / count < 3 * 4 * classes  # bytes; Python's floats take 32 each


def test_the_first_answer_of_an_image_stays(path):
  with Ledger(path) as ledger:
    ledger.answered(ledger.reserve(names(1)), [3])
    ledger.answered(ledger.reserve(names(1), "retry"), [4])
    assert ledger.answer(names(1)[0]) == 3
  with Ledger(path) as ledger:
    assert ledger.answer(names(1)[0]) == 3


def test_budget_is_refused_before_anything_is_written(path):
  with Ledger(path, budget=5) as ledger:
    request = ledger.reserve(names(1, 2, 3))
    before = path.read_bytes()
    for ask in (
      lambda: ledger.reserve(names(4, 5, 6)),
      lambda: ledger.record_bulk("round 0", 3),
    ):
      with pytest.raises(
        BudgetExhausted,
        match="3 .* 2 of queries.budget=5 .* unless synthesis.num_rounds is 0",
      ):
        ask()
    assert path.read_bytes() == before
    ledger.refused(request, "503")
    ledger.reserve(names(1, 2, 3, 4, 5))
    with pytest.raises(BudgetExhausted):
      ledger.reserve(names(6))


def test_budget_goes_up_or_off_but_not_below_what_is_spent(path):
  with Ledger(path, budget=5) as ledger:
    ledger.record_bulk("round 0", 5)
  before = path.read_bytes()
  with pytest.raises(
    JaxkdError, match=r"queries.budget=4, but 5 images .* 5 or"
  ):
    Ledger(path, budget=4)
  assert path.read_bytes() == before
  with Ledger(path, budget=5) as ledger, pytest.raises(BudgetExhausted):
    ledger.record_bulk("round 1", 1)
  with Ledger(path, budget=6) as ledger:
    ledger.record_bulk("round 1", 1)
    assert ledger.totals()[:2] == (6, 6)
  with Ledger(path) as ledger:
    ledger.record_bulk("round 2", 100)
    assert ledger.totals()[:2] == (None, 106)


def test_a_round_recorded_in_bulk_costs_once(path):
  with Ledger(path, budget=10) as ledger:
    ledger.record_bulk("round 0", np.int64(10))
    ledger.record_bulk("round 0", 10)
  with Ledger(path, budget=10) as ledger:
    ledger.record_bulk("round 0", 10)
    assert ledger.totals().spent == 10
    with pytest.raises(JaxkdError, match="'round 0' is recorded with 10 train"):
      ledger.record_bulk("round 0", 9)
    with pytest.raises(JaxkdError, match="now with 10 evaluate"):
      ledger.record_bulk("round 0", 10, "evaluate")


def test_wrong_calls_write_nothing(path):
  with Ledger(path) as ledger:
    request = ledger.reserve(names(1, 2))
    before = path.read_bytes()
    for message, call in {
      "kind of query 'trian' is unknown; choose one of train": lambda: (
        ledger.reserve(names(3), "trian")
      ),
      "count=-1": lambda: ledger.record_bulk("round 0", -1),
      "has 2 images and 1 answers": lambda: ledger.answered(request, [1]),
      "Request 7 is not in flight": lambda: ledger.sent(7),
    }.items():
      with pytest.raises(JaxkdError, match=message):
        call()
    assert path.read_bytes() == before
    ledger.answered(request, [1, 2])
    with pytest.raises(JaxkdError, match="not in flight"):
      ledger.refused(request, "late")
  with pytest.raises(JaxkdError, match="is closed"):
    ledger.reserve(names(3))
  for fields in ({"budget": -1}, {"price_per_1000": float("nan")}):
    with pytest.raises(JaxkdError, match="must be 0 or more"):
      Ledger(path, **fields)


def test_reasons_hold_no_password(path):
  with Ledger(path) as ledger:
    reason = "to\nhttps://me:se@cret@host/v2 " + "x" * 999
    ledger.unknown(ledger.reserve(names(1)), reason)
  record = json.loads(complete_lines(path)[-1])
  assert record["reason"].startswith("to https://host/v2 x")
  assert len(record["reason"]) == 200


def test_what_was_in_flight_is_unknown_to_the_next_session(recorded):
  before = read_totals(recorded)
  assert before.in_flight == 4
  with Ledger(recorded, budget=40) as ledger:
    after = ledger.totals()
    assert ledger.reserve(names(20)) == 7  # numbers are never used twice
  assert after.in_flight == 0
  assert after.unknown == before.unknown + 4
  assert after.spent == before.spent == 20
  assert after.by_kind == before.by_kind


def test_cut_at_every_byte(recorded, tmp_path):
  complete, whole = b"", recorded.read_bytes()
  for number, line in enumerate([*complete_lines(recorded), b""]):
    prefix = tmp_path / f"prefix{number}"
    prefix.write_bytes(complete)
    expected, answers = read_totals(prefix), read_ledger(prefix)[0].answers
    for torn in range(max(1, len(line))):
      cut = tmp_path / f"cut{number}-{torn}"
      cut.write_bytes(complete + line[:torn])
      assert read_totals(cut) == expected
      with Ledger(cut, budget=40) as ledger:
        assert ledger.totals() == expected._replace(
          budget=40,
          price=0.0,
          unknown=expected.unknown + expected.in_flight,
          in_flight=0,
        )
        assert all(ledger.answer(name) == answers[name] for name in answers)
        ledger.record_bulk("afterwards", 1)
      assert cut.read_bytes().startswith(complete)
      assert read_totals(cut).spent == expected.spent + 1
    complete += line
  assert complete == whole


def test_a_page_that_never_reached_the_disk_is_a_torn_tail(recorded):
  lines = complete_lines(recorded)
  lines[-1] = bytes(20) + lines[-1][20:]
  recorded.write_bytes(b"".join(lines))
  assert read_totals(recorded).in_flight == 2
  with Ledger(recorded, budget=40) as ledger:
    assert ledger.totals()[1:7] == (18, 9, 4, 4, 1, 0)
  lines = complete_lines(recorded)
  lines[-2] = bytes(20) + lines[-2][20:]
  recorded.write_bytes(b"".join(lines))
  with pytest.raises(JaxkdError, match=f"damaged in line {len(lines) - 1}"):
    Ledger(recorded)


def test_a_changed_byte_names_its_line(recorded):
  whole = recorded.read_bytes()
  lines = complete_lines(recorded)
  start = 0
  for number, line in enumerate(lines[:-1], 1):
    for place in {*range(0, len(line), 5), len(line) - 2, len(line) - 1}:
      changed = bytearray(whole)
      changed[start + place] ^= 1
      recorded.write_bytes(changed)
      for look in (read_totals, Ledger):
        with pytest.raises(JaxkdError, match=rf"line {number}\b"):
          look(recorded)
      assert recorded.read_bytes() == changed
    start += len(line)


def test_the_last_record_changed_is_damage_too(recorded):
  changed = bytearray(recorded.read_bytes())
  changed[-40] ^= 1
  recorded.write_bytes(changed)
  with pytest.raises(JaxkdError, match="damaged in line 18"):
    Ledger(recorded)


def test_a_line_that_is_lost_or_moved_is_damage(recorded):
  lines = complete_lines(recorded)
  for number in range(1, len(lines) - 1):
    for changed in (
      lines[:number] + lines[number + 1 :],
      lines[: number + 1] + lines[number:],
    ):
      recorded.write_bytes(b"".join(changed))
      with pytest.raises(JaxkdError, match="damaged in line"):
        read_totals(recorded)


def with_checksums(*records):
  text, crc = b"", 0
  for record in records:
    line, crc = add_checksum(json.dumps(record)[:-1].encode(), crc)
    text += line
  return text


def test_records_must_follow_from_each_other(path):
  created = {"record": "created", "version": 1}
  reserved = {"record": "reserved", "request": 1, "kind": "train", "images": []}
  for record in (
    {"record": "sent", "request": 2},
    {"record": "refused", "request": 2, "reason": "429"},
    {"record": "answered", "request": 1, "answers": [1]},
    {"record": "paid"},
  ):
    path.write_bytes(with_checksums(created, reserved, record))
    with pytest.raises(JaxkdError, match="line 3 does not follow"):
      read_totals(path)


def test_an_unknown_version_is_refused(path):
  path.write_bytes(with_checksums({"record": "created", "version": 2}))
  for look in (read_totals, Ledger):
    with pytest.raises(JaxkdError, match="has version 2; .* knows version 1"):
      look(path)


def test_other_files_are_left_alone(path):
  for text in ("notes", '{"record": "booked"}\n', "\n"):
    path.write_text(text)
    for look in (read_totals, Ledger):
      with pytest.raises(JaxkdError, match="is not a query ledger"):
        look(path)
    assert path.read_text() == text
  for look in (read_totals, Ledger):
    with pytest.raises(JaxkdError, match=str(path.parent)):
      look(path.parent)


def test_one_writer(path):
  with Ledger(path), pytest.raises(JaxkdError, match="in use by another run"):
    Ledger(path)
  with Ledger(path):
    command = f"from {Ledger.__module__} import Ledger; Ledger({str(path)!r})"
    ended = subprocess.run(
      [sys.executable, "-c", command], capture_output=True, text=True
    )
  assert "in use by another run" in ended.stderr


def test_threads_never_exceed_the_budget_together(path):
  budget = 100

  def ask(thread, ledger):
    for step in range(20):
      images = names(*(1000 * thread + 10 * step + n for n in range(3)))
      try:
        request = ledger.reserve(images)
      except BudgetExhausted:
        continue
      assert ledger.totals().spent <= budget
      ledger.sent(request)
      if step % 3:
        ledger.answered(request, [step] * 3)
      else:
        ledger.refused(request, "429")

  with Ledger(path, budget=budget) as ledger:
    with ThreadPoolExecutor(8) as pool:
      for done in [pool.submit(ask, n, ledger) for n in range(8)]:
        done.result()
    totals = ledger.totals()
  assert totals.spent == totals.answered == 99 and totals.in_flight == 0
  assert read_totals(path) == totals


@pytest.mark.parametrize("room", [0, 25])
def test_a_full_disk_leaves_no_partial_record(path, room):
  with Ledger(path, budget=9) as ledger:
    request = ledger.reserve(names(1, 2))
    before = ledger.totals()
    file = ledger._file
    ledger._file = _Full(file, room)
    for _ in range(2):
      with pytest.raises(JaxkdError, match=str(path)):
        ledger.answered(request, [1, 2])
      ledger._file = file  # room again: this session still does not go on
    assert ledger.totals() == before == read_totals(path)
    assert ledger.answer(names(1)[0]) is None
  with Ledger(path, budget=9) as ledger:
    assert ledger.totals() == before._replace(in_flight=0, unknown=2)


class _Full:
  """A file with room for a few bytes."""

  def __init__(self, file, room):
    self.file, self.room = file, room
    self.close = file.close

  def write(self, text):
    if not self.room:
      raise OSError(errno.ENOSPC, "No space left on device")
    count, self.room = self.file.write(text[: self.room]), 0
    return count


def test_a_failed_or_interrupted_fsync_ends_the_session(path, monkeypatch):
  for error in (OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()):

    def fail(descriptor, error=error):
      raise error

    with Ledger(path) as ledger:
      before = ledger.totals()
      with monkeypatch.context() as patched:
        patched.setattr(ledger_module.os, "fsync", fail)
        with pytest.raises((JaxkdError, KeyboardInterrupt)):
          ledger.reserve(names(1))
      assert ledger.totals() == before
      with pytest.raises(JaxkdError, match="could not be written"):
        ledger.reserve(names(1))
    with Ledger(path) as ledger:
      assert ledger.totals().unknown == before.unknown + 1


def test_what_is_fsynced(path, monkeypatch):
  calls = []
  fsync = os.fsync
  monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), fsync(fd)))

  def count(call):
    calls.clear()
    value = call()
    return len(calls), value

  opened, ledger = count(lambda: Ledger(path))
  assert opened == 2  # the file and its folder
  with ledger:
    reserved, request = count(lambda: ledger.reserve(names(*range(64))))
    assert reserved == 1
    assert count(lambda: ledger.sent(request))[0] == 0
    assert json.loads(complete_lines(path)[-1])["record"] == "sent"
    assert count(lambda: ledger.answered(request, [0] * 64))[0] == 1
    request = ledger.reserve(names(1))
    assert count(lambda: ledger.refused(request, "429"))[0] == 1
    request = ledger.reserve(names(1))
    assert count(lambda: ledger.unknown(request, "500"))[0] == 1
    assert count(lambda: ledger.record_bulk("round 0", 1))[0] == 1


_WRITER = """
import os, sys
from jaxkd.errors import BudgetExhausted
from jaxkd.teachers.ledger import Ledger
path, wire, log = sys.argv[1:]
wire, log = (open(name, "a", buffering=1) for name in (wire, log))
with Ledger(path, budget=2000) as ledger:
  number = 10**6 * os.getpid()
  while True:
    images = [f"{number + n:032x}" for n in range(4)]
    number += 4
    try:
      request = ledger.reserve(images)
    except BudgetExhausted:
      break
    ledger.sent(request)
    print("4", file=wire)
    if number % 3:
      ledger.answered(request, [1, 2, 3, 4])
      print(*images, file=log)
    elif number % 2:
      ledger.unknown(request, "500")
"""


def test_sigkill_at_any_time(path, tmp_path):
  rng = random.Random(0)
  wire, log = tmp_path / "wire", tmp_path / "log"
  spent = 0
  for _ in range(6):
    kept = len(complete_lines(path)) if path.exists() else 0
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, path, wire, log])
    deadline = time.monotonic() + 20
    while not path.exists() or len(complete_lines(path)) < kept + 3:
      assert time.monotonic() < deadline
      if writer.poll() is not None:  # the budget is exhausted
        break
      time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    read_totals(path)  # while it writes
    writer.kill()
    assert writer.wait() in (0, -signal.SIGKILL)
    on_wire = 4 * wire.read_text().count("4") if wire.exists() else 0
    with Ledger(path, budget=2000) as ledger:
      totals = ledger.totals()
      answered = log.read_text().split()[:-1] if log.exists() else []
      assert all(ledger.answer(name) is not None for name in answered)
    assert max(spent, on_wire) <= totals.spent <= 2000
    assert totals.in_flight == 0
    assert totals.spent == totals.answered + totals.unknown
    spent = totals.spent
  assert spent > 0


def test_command_line_prints_the_totals(recorded, capsys):
  main([str(recorded)])
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == f"query ledger {recorded}, numbers of images"
  assert dict(line.rsplit(maxsplit=1) for line in lines[1:]) == {
    "budget": "40",
    "spent": "20",
    "  train": "17",
    "  evaluate": "2",
    "  retry": "1",
    "left": "20",
    "answered": "4",
    "in bulk": "10",
    "unknown": "2",
    "in flight": "4",
    "refused": "1",
    "sent": "9",
    "price": "0.03",
  }
  assert len({len(line) for line in lines[1:]}) == 1


def test_command_line_while_a_run_writes_and_on_a_wrong_file(path, capsys):
  with Ledger(path):
    command = [sys.executable, "-m", ledger_module.__name__]
    ended = subprocess.run([*command, path], capture_output=True, text=True)
  assert ended.returncode == 0 and ended.stderr == ""
  assert "budget              none" in ended.stdout
  path.write_text("notes\n")
  for wrong in (path, path.parent / "absent"):
    with pytest.raises(SystemExit, match="2"):
      main([str(wrong)])
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and str(wrong) in err


def test_needs_neither_jax_nor_flax():
  command = (
    f"import {ledger_module.__name__}, sys;"
    "print({'jax', 'flax'} & set(sys.modules))"
  )
  ended = subprocess.run(
    [sys.executable, "-c", command], capture_output=True, text=True, check=True
  )
  assert ended.stdout.strip() == "set()"
