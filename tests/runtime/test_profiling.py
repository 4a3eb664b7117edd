"""Profiler traces and peak memory of a run."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

import jaxkd
from jaxkd.report import summary
from jaxkd.runtime import processes, profiling, run_folder
from jaxkd.runtime.metrics import read_metrics

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def trace(monkeypatch):
  """Records when a trace begins and ends instead of writing one."""
  events = []

  @contextlib.contextmanager
  def record(folder):
    events.append("begin")
    try:
      yield
    finally:
      events.append("end")

  monkeypatch.setattr(jax.profiler, "trace", record)
  return events


def run_steps(events, steps, count):
  with profiling.traced(steps, Path("anywhere"), count) as traced:
    for step in traced:
      events.append(step)
  return events


@pytest.mark.parametrize(
  "steps, count, expected",
  [
    (range(3), 0, [0, 1, 2]),
    (range(3), 1, [0, "begin", 1, "end", 2]),
    (range(2, 6), 2, [2, "begin", 3, 4, "end", 5]),
    (range(3), 9, [0, "begin", 1, 2, "end"]),
    (range(4, 5), 1, ["begin", 4, "end"]),
    (range(4, 4), 1, []),
  ],
)
def test_the_steps_after_the_first_are_traced(trace, steps, count, expected):
  assert run_steps(trace, steps, count) == expected


def test_a_trace_ends_with_a_run_that_is_stopped(trace):
  with (
    pytest.raises(RuntimeError),
    profiling.traced(range(4), Path("anywhere"), 3) as steps,
  ):
    for step in steps:
      if step == 2:
        raise RuntimeError
  assert trace == ["begin", "end"]


def test_a_trace_is_a_file_of_the_profiler(tmp_path):
  with profiling.traced(range(3), tmp_path, 1) as steps:
    for step in steps:
      jax.block_until_ready(jax.numpy.ones(2) + step)
  assert list(tmp_path.rglob("*.xplane.pb"))


def test_only_the_first_process_keeps_a_trace(trace, monkeypatch):
  monkeypatch.setattr(processes, "is_primary", lambda: False)
  assert run_steps(trace, range(3), 2) == [0, 1, 2]


@pytest.mark.slow
def test_a_run_leaves_traces_and_reports_its_memory(tmp_path, monkeypatch):
  # A teacher that another test trained would leave no trace of its training.
  monkeypatch.setenv("JAXKD_CACHE", str(tmp_path / "cache"))
  config = jaxkd.load_config(f"{CONFIGS}/cake.py:dataset=two_moons,smoke")
  config.synthesis.sets_per_round = 2
  config.profile.steps = 1
  folder = tmp_path / "run"
  _, report = jaxkd.distill(None, config, folder)
  for stage in ("teacher", "synthesis", "student"):
    assert list((folder / "profile" / stage).rglob("*.xplane.pb")), stage
    peaks = [
      record["peak_bytes"]
      for record in read_metrics(folder)
      if record["stage"] == stage
    ]
    assert len(peaks) == 2
    assert report["memory"][stage] == max(peaks) > 1e7
  assert report["memory"]["of"] == "process"
  text = summary.summary(report)
  assert "peak of the process by the end of each stage: teacher" in text
  assert "Memory: peak of the process" in (folder / "report.html").read_text()


def test_a_run_may_be_resumed_with_a_trace():
  saved, wanted = {"profile.steps": 0}, {"profile.steps": 2}
  assert run_folder.changeable("profile.steps", saved, wanted)


def test_the_largest_peak_of_the_devices_counts(monkeypatch):
  def device(peak):
    return SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": peak})

  monkeypatch.setattr(jax, "local_devices", lambda: [device(3), device(5)])
  assert profiling.peak_bytes() == 5
  assert profiling.memory_scope() == "device"


def test_without_device_statistics_the_process_is_measured(monkeypatch):
  silent = SimpleNamespace(memory_stats=lambda: None)
  monkeypatch.setattr(jax, "local_devices", lambda: [silent])
  assert profiling.memory_scope() == "process"
  assert 1e7 < profiling.peak_bytes() < 1e12
