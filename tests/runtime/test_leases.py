"""Leases of files: who may have one, when it ends, and how it is awaited."""

import contextlib
import subprocess
import sys

import pytest

from jaxkd.runtime import checkpoints, leases

HOLD = """
import sys, time
from pathlib import Path
from jaxkd.runtime import leases
lease = leases.take(Path(sys.argv[1]))
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
  return tmp_path / ".lock"


@pytest.mark.parametrize(
  ("first", "second", "together"),
  [
    (False, False, False),
    (False, True, False),
    (True, False, False),
    (True, True, True),
  ],
)
def test_only_shared_leases_are_shared(path, first, second, together):
  with leases.take(path, shared=first):
    with (
      contextlib.nullcontext()
      if together
      else pytest.raises(leases.InUse, match=r"\.lock is in use")
    ):
      leases.take(path, shared=second).close()
    assert not leases.is_free(path)
  assert leases.is_free(path)


def test_a_file_that_is_missing_is_free_and_is_not_made(path):
  assert leases.is_free(path)
  assert not path.exists()


def test_a_lease_ends_with_its_process(path):
  with subprocess.Popen(
    [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout.readline() == "taken\n"
    assert not leases.is_free(path)
    process.kill()
    process.wait()
  assert leases.is_free(path)


def test_waiting_is_said_once_and_ends(path, monkeypatch, capsys):
  other, pauses = leases.take(path), []

  def pause():
    pauses.append(1)
    if len(pauses) == 3:
      other.close()

  monkeypatch.setattr(leases, "pause", pause)
  with leases.held(path, "somebody has it"):
    assert not leases.is_free(path)
  assert leases.is_free(path)
  assert len(pauses) == 3
  assert capsys.readouterr().out == "somebody has it\n"


def test_a_signal_ends_the_waiting(path, monkeypatch):
  monkeypatch.setattr(leases, "POLL_S", 0.0)
  monkeypatch.setattr(checkpoints, "stopping", lambda: True)
  with (
    leases.take(path),
    pytest.raises(checkpoints.Preempted),
    leases.held(path, ""),
  ):
    pytest.fail("it was not free")
