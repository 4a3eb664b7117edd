"""Several processes of one run end in the student of one process with as many
devices.

All tolerances are zero here: with two devices a sum over them has one order.
"""

import signal
import subprocess
import sys
import time

from network_weights import same
import numpy as np
from process_groups import (
  ROOT,
  WAIT_S,
  environment,
  free_port,
  logs,
  start,
  statuses,
)
import pytest

import jaxkd
from jaxkd.runtime.metrics import read_metrics

CONFIGS = ROOT / "configs"
CAKE = "cake.py:dataset=two_moons,smoke"
FAST = {"synthesis.sets_per_round": 2}
HEARTBEAT_S = 10


def pair(folder, config=CAKE, **fields):
  """Two processes of one run, started."""
  folder.mkdir(exist_ok=True)
  changes = [f"--config.{name}={value}" for name, value in fields.items()]
  port = free_port()
  return [
    start(
      [
        "-m", "jaxkd.main", f"--config=configs/{config}", *changes,
        f"--workdir={folder}", "--distributed", "--num_processes=2",
        f"--coordinator=127.0.0.1:{port}", f"--process_id={index}",
        f"--heartbeat_s={HEARTBEAT_S}",
      ],
      folder / f"log{index}",
    )
    for index in range(2)
  ]  # fmt: skip


def config_of(config, fields):
  loaded = jaxkd.load_config(f"{CONFIGS}/{config}")
  loaded.update_from_flattened_dict(fields)
  return loaded


def student_of(folder):
  return jaxkd.load_classifier(folder / "student.safetensors")[0]


def check_run(tmp_path, config, fields):
  """A run of two processes against one of this process, with two devices."""
  ran = statuses(pair(tmp_path / "pair", config, **fields))
  assert ran == [0, 0], logs(tmp_path / "pair")
  alone, _ = jaxkd.distill(None, config_of(config, fields), tmp_path / "one")
  same(student_of(tmp_path / "pair"), alone)


@pytest.mark.slow
def test_two_processes_end_in_the_student_of_one(tmp_path):
  check_run(tmp_path, CAKE, FAST)
  steps = [(r["stage"], r["step"]) for r in read_metrics(tmp_path / "pair")]
  assert len(steps) == len(set(steps))
  assert (tmp_path / "pair" / "report.html").exists()
  first, second = (
    (tmp_path / "pair" / f"log{i}").read_text() for i in range(2)
  )
  assert "student" in first
  assert "student" not in second


@pytest.mark.slow
@pytest.mark.parametrize(
  "config, fields",
  [
    (
      "kd.py:student=cnn_quarter,smoke",
      {"student.batch_norm": "synchronized"},
    ),
    ("dfme.py:smoke", {}),
    (
      "scm.py:smoke",
      {
        "teacher.access": "probs",
        "synthesis.answers": "once",
        "queries.budget": 100_000,
      },
    ),
  ],
)
def test_other_methods_do_so_too(tmp_path, config, fields):
  check_run(tmp_path, config, fields)


def wait_for(folder, processes, stage, step):
  """Until the run has done a step of a stage."""
  deadline = time.monotonic() + WAIT_S
  while time.monotonic() < deadline:
    records = read_metrics(folder)
    if any(r["stage"] == stage and r["step"] >= step for r in records):
      return
    assert all(process.poll() is None for process in processes), logs(folder)
    time.sleep(0.05)
  raise AssertionError(f"{stage} {step} was not reached")


LONG = FAST | {"student.epochs": 400}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  return jaxkd.distill(None, config_of(CAKE, LONG), folder)[0]


@pytest.mark.slow
def test_a_signal_to_one_stops_all_and_they_go_on(tmp_path, uninterrupted):
  processes = pair(tmp_path, **LONG)
  wait_for(tmp_path, processes, "student", 3)
  processes[1].send_signal(signal.SIGTERM)
  assert statuses(processes) == [143, 143], logs(tmp_path)
  assert "continues" in (tmp_path / "log0").read_text()
  stopped_at = read_metrics(tmp_path)[-1]["step"]
  assert stopped_at < 400
  assert statuses(pair(tmp_path, **LONG)) == [0, 0], logs(tmp_path)
  steps = [r["step"] for r in read_metrics(tmp_path) if r["stage"] == "student"]
  assert steps == list(range(1, 401))
  same(student_of(tmp_path), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_that_is_killed_takes_the_others_along(
  tmp_path, uninterrupted, victim
):
  processes = pair(tmp_path, **LONG)
  wait_for(tmp_path, processes, "student", 3)
  processes[victim].kill()
  began = time.monotonic()
  ended = statuses(processes)
  assert ended[victim] == -signal.SIGKILL
  assert ended[1 - victim] not in (0, 2), logs(tmp_path)
  assert time.monotonic() - began < 6 * HEARTBEAT_S
  assert statuses(pair(tmp_path, **LONG)) == [0, 0], logs(tmp_path)
  same(student_of(tmp_path), uninterrupted)


@pytest.mark.slow
def test_the_number_of_devices_does_not_matter(tmp_path):
  """1, 2 and 4 forced devices: sums over them come in another order, so the
  weights, of up to 1, agree to 1e-5 after 24 updates of teacher and student.
  """
  students = []
  for devices in (1, 2, 4):
    folder = tmp_path / f"{devices}"
    done = subprocess.run(
      [
        sys.executable, "-m", "jaxkd.main", f"--config=configs/{CAKE}",
        "--config.synthesis.sets_per_round=4", f"--workdir={folder}",
      ],
      cwd=ROOT, env=environment(devices), capture_output=True, text=True,
      timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    students.append(student_of(folder).variables["params"])
  for other in students[1:]:
    for layer, arrays in students[0].items():
      for name, array in arrays.items():
        np.testing.assert_allclose(other[layer][name], array, atol=1e-5)
