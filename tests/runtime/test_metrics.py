"""Metrics on disk survive a kill; progress is shown without a terminal too."""

import json
import math
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.runtime import metrics
from jaxkd.runtime.metrics import MetricsWriter, read_metrics
from jaxkd.runtime.progress import Progress
from jaxkd.types import JaxkdError


def steps(workdir):
  return [record["step"] for record in read_metrics(workdir)]


def test_a_line_holds_stage_step_time_and_values(tmp_path):
  with MetricsWriter(tmp_path / "run") as writer:
    writer.write("student", 3, loss=jnp.float32(0.5), per_seed=jnp.ones(2))
  (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  record = json.loads(line)
  assert record.pop("time") > 1e9
  assert record == {
    "stage": "student",
    "step": 3,
    "loss": 0.5,
    "per_seed": [1.0, 1.0],
  }


def test_a_line_is_on_disk_before_the_writer_is_closed(tmp_path):
  writer = MetricsWriter(tmp_path)
  writer.write("teacher", 1, loss=1.0)
  assert steps(tmp_path) == [1]
  writer.close()


def test_resume_leaves_no_repeats_and_no_gaps(tmp_path):
  with MetricsWriter(tmp_path) as writer:
    for stage, step in [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)]:
      writer.write(stage, step, run=0)
  with MetricsWriter(tmp_path) as writer:
    writer.truncate_after("a", 2)
    writer.truncate_after("b", 1)
    writer.write("b", 2, run=1)
    writer.write("b", 3, run=1)
    writer.truncate_after("c", 0)
    writer.write("c", 1, run=1)
  lines = [(r["stage"], r["step"], r["run"]) for r in read_metrics(tmp_path)]
  assert lines == [
    ("a", 1, 0),
    ("a", 2, 0),
    ("b", 1, 0),
    ("b", 2, 1),
    ("b", 3, 1),
    ("c", 1, 1),
  ]


def test_opening_a_finished_run_changes_nothing(tmp_path):
  with MetricsWriter(tmp_path) as writer:
    writer.write("student", 1, loss=1.0)
  MetricsWriter(tmp_path).close()
  assert steps(tmp_path) == [1]


def test_truncation_removes_later_stages(tmp_path):
  with MetricsWriter(tmp_path) as writer:
    writer.write("teacher", 1)
    writer.write("teacher", 2)
    writer.write("student", 1)
    writer.truncate_after("teacher", 1)
  assert steps(tmp_path) == [1]


def test_seconds_of_a_stage_are_summed(tmp_path):
  with MetricsWriter(tmp_path) as writer:
    writer.write("student", 1, seconds=1.5, compile_seconds=3)
    writer.write("teacher", 1, seconds=9)
  with MetricsWriter(tmp_path) as writer:
    writer.write("student", 2, seconds=0.5)
    assert writer.seconds("student") == 2
    assert writer.seconds("student", "compile_seconds") == 3
    assert writer.seconds("synthesis") == 0
    writer.write("student", 3)
  assert steps(tmp_path) == [1, 1, 2, 3]


def test_a_cut_off_line_is_dropped(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(b'{"stage": "teacher", "step": 1, "time": 0}\n{"sta')
  with MetricsWriter(tmp_path) as writer:
    writer.write("teacher", 2)
  assert steps(tmp_path) == [1, 2]


def test_no_file_no_records(tmp_path):
  assert read_metrics(tmp_path) == []


def test_a_missing_tensorboard_names_the_package(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  with pytest.raises(JaxkdError, match=r"jaxkd\[tensorboard\]"):
    MetricsWriter(tmp_path, tensorboard=True)


def test_events_follow_the_lines_through_a_resume(tmp_path, monkeypatch):
  written = []

  class SummaryWriter:
    def __init__(self, directory):
      written.clear()

    def add_scalar(self, tag, value, step, walltime):
      written.append((tag, value, step))

    def close(self):
      pass

  class Package:
    pass

  Package.SummaryWriter = SummaryWriter
  monkeypatch.setitem(sys.modules, "tensorboardX", Package)
  with MetricsWriter(tmp_path, tensorboard=True) as writer:
    writer.write("teacher", 1, loss=1.0, note="warm-up")
    writer.write("student", 1, loss=np.array([0.5, 0.25]), kl=math.nan)
  before = list(written)
  assert before == [("teacher/loss", 1.0, 1), ("student/loss", 0.375, 1)]
  with MetricsWriter(tmp_path, tensorboard=True) as writer:
    assert written == before
    writer.truncate_after("student", 0)
    writer.write("student", 1, loss=2.0)
  assert written == [("teacher/loss", 1.0, 1), ("student/loss", 2.0, 1)]


@pytest.mark.slow
def test_real_event_files_are_rebuilt_on_resume(tmp_path):
  pytest.importorskip("tensorboardX")
  for _ in range(2):
    with MetricsWriter(tmp_path, tensorboard=True) as writer:
      writer.truncate_after("student", 0)
      writer.write("student", 1, loss=0.5)
  (events,) = (tmp_path / "tensorboard").iterdir()
  assert events.read_bytes().count(b"student/loss") == 1


@pytest.fixture
def clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
  return now


def test_progress_prints_a_line_every_five_seconds_and_the_last(capsys, clock):
  with Progress(40, "student", "epochs") as progress:
    for epoch in range(40):
      clock[0] += 0.5
      progress.advance(loss=epoch / 10)
  lines = capsys.readouterr().out.splitlines()
  assert "10/40 epochs  2 epochs/s  15 s left  loss 0.9" in lines[0]
  assert "20/40 epochs" in lines[1]
  assert "40/40 epochs  2 epochs/s  in 20 s  loss 3.9" in lines[-1]
  assert len(lines) <= 5


def test_progress_of_a_short_loop_is_one_line(capsys):
  with Progress(2, "synthesis", "sets") as progress:
    progress.advance()
    progress.advance()
  (line,) = capsys.readouterr().out.splitlines()
  assert line.startswith("synthesis  2/2 sets")


def test_the_rate_leaves_out_what_was_done_before(capsys, clock):
  with Progress(40, "student", "epochs", done=30) as progress:
    clock[0] += 2
    progress.advance(4)
  assert "34/40 epochs  2 epochs/s  3.0 s left" in capsys.readouterr().out


def test_progress_shows_where_the_loop_stopped(capsys):
  with pytest.raises(RuntimeError), Progress(4, "teacher", "epochs") as bar:
    bar.advance(loss=1.0)
    raise RuntimeError
  assert "1/4 epochs" in capsys.readouterr().out


def test_progress_is_a_bar_in_a_terminal(capsys, monkeypatch):
  monkeypatch.setenv("FORCE_COLOR", "1")
  monkeypatch.setenv("TERM", "xterm")
  with Progress(4, "teacher", "epochs") as progress:
    progress.advance(4, accuracy=0.75)
  out = capsys.readouterr().out
  assert "━" in out
  assert "4/4 epochs" in out
  assert "accuracy 0.75" in out


@pytest.mark.parametrize("line", [b"{cut\n", b"[]\n", b"{}\n", b"\x00\n"])
def test_a_damaged_line_is_named(tmp_path, line):
  with MetricsWriter(tmp_path) as metrics:
    metrics.write("student", 1, loss=0.5)
  with (tmp_path / "metrics.jsonl").open("ab") as file:
    file.write(line)
  with pytest.raises(JaxkdError, match="Line 2 of metrics.jsonl .*is damaged"):
    MetricsWriter(tmp_path)


def test_what_stands_in_the_way_of_the_metrics_is_named(tmp_path):
  (tmp_path / "metrics.jsonl").mkdir()
  with pytest.raises(JaxkdError, match=r"metrics.jsonl: Is a directory.*move"):
    MetricsWriter(tmp_path)
