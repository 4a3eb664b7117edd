"""Tests of a table whose cells several processes share out among them."""

import contextlib
import json
import re
import signal
import time

from process_groups import WAIT_S, start, statuses
import pytest
from table_cells import a_table, report_of

from jaxkd.runtime import leases, run_folder
from jaxkd.tables import runner
from jaxkd.types import JaxkdError


class AnotherProcess:
  """Holds the lock of a cell, and ends at this process's second pause."""

  def __init__(self, workdir, finishes):
    self.workdir, self.finishes, self.pauses = workdir, finishes, 0
    self.lock = contextlib.ExitStack()
    self.lock.enter_context(
      run_folder.lock_workdir(workdir, {"config": {}}, name="cell")
    )

  def pause(self):
    self.pauses += 1
    if self.pauses < 2:
      return
    if self.finishes:
      (self.workdir / "report.json").write_text(
        json.dumps(report_of(self.workdir.name))
      )
    self.lock.close()


@pytest.mark.parametrize("finishes", [True, False])
def test_a_cell_of_another_process_is_left_to_it_while_it_lives(
  runs, tmp_path, monkeypatch, capsys, finishes
):
  other = AnotherProcess(tmp_path / "cells" / "cnn_kd", finishes)
  monkeypatch.setattr(leases, "pause", other.pause)
  table = runner.run(a_table(), tmp_path)
  assert runs.done == ["mob_kd", "cnn_htc"] + ["cnn_kd"] * (not finishes)
  assert [cell["value"] for cell in table["cells"]] == pytest.approx(
    [12.3, 80, 70]
  )
  out = capsys.readouterr().out
  assert out.count("2/3 cnn_kd: another process runs it\n") == 1
  assert ("2/3 cnn_kd: finished by another process\n" in out) == finishes


def test_a_cell_that_another_process_was_faster_to_take(
  runs, tmp_path, monkeypatch
):
  runs.errors["cnn_kd"] = leases.InUse("The workdir is in use.")
  monkeypatch.setattr(leases, "pause", runs.errors.clear)
  table = runner.run(a_table(), tmp_path)
  assert runs.done == ["mob_kd", "cnn_kd", "cnn_htc", "cnn_kd"]
  assert not any(cell["failed"] for cell in table["cells"])


def test_a_plain_run_and_a_table_do_not_share_a_folder(runs, tmp_path):
  with (
    run_folder.lock_workdir(tmp_path, {"config": {}}, name="run"),
    pytest.raises(JaxkdError, match="in use by another run"),
  ):
    runner.run(a_table(), tmp_path)


@pytest.mark.slow
def test_processes_share_a_table_and_one_is_killed(tmp_path):
  command = [
    "-m", "jaxkd.main", f"--workdir={tmp_path / 'table'}",
    "--config=configs/repeats.py:of=cake,dataset=two_moons,smoke,repeats=4",
  ]  # fmt: skip
  logs = [tmp_path / f"{index}.log" for index in range(3)]
  processes = [start(command, log) for log in logs]
  begun = re.compile(r"^\d+/\d+ seed_\d_\w+$", re.MULTILINE)
  ended = re.compile(
    r"^report .*/cells/(seed_\d)_\w+/report.html$", re.MULTILINE
  )
  deadline = time.monotonic() + WAIT_S
  while not begun.search(logs[0].read_text()) and time.monotonic() < deadline:
    time.sleep(0.1)
  processes[0].send_signal(signal.SIGKILL)
  assert statuses(processes) == [-signal.SIGKILL, 0, 0]
  # What the killed one had begun was taken over, and nothing was run twice.
  done = [seed for log in logs for seed in ended.findall(log.read_text())]
  assert sorted(done) == [f"seed_{seed}" for seed in range(4)]
  table = json.loads((tmp_path / "table" / "table.json").read_text())
  assert all(cell["value"] is not None for cell in table["cells"])
