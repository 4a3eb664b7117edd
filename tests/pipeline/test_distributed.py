"""Several processes on this machine, which talk over its loopback, against one
process with as many devices.

All tolerances are zero here: with two devices a sum over them has one order.
"""

import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

from network_weights import same
import numpy as np
import pytest

import jaxkd
from jaxkd import main
from jaxkd.pipeline import hosts
from jaxkd.runtime import processes
from jaxkd.runtime.metrics import read_metrics

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
CAKE = "cake.py:dataset=two_moons,smoke"
FAST = {"synthesis.sets_per_round": 2}
WAIT_S = 300  # for anything; the machine may be busy
HEARTBEAT_S = 10


def free_port():
  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    return found.getsockname()[1]


def environment(devices=1):
  """Compiled as in this process, else the bits differ; the last flag counts."""
  forced = f"--xla_force_host_platform_device_count={devices}"
  return os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {forced}"}


def start(command, log, **options):
  with log.open("a") as file:
    return subprocess.Popen(
      [sys.executable, *command],
      cwd=ROOT, env=environment(), stdout=file, stderr=file, **options,
    )  # fmt: skip


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


def statuses(processes):
  """How they ended."""
  try:
    return [process.wait(WAIT_S) for process in processes]
  finally:
    for process in processes:
      process.kill()


def logs(folder):
  return "\n".join(
    (folder / f"log{index}").read_text()[-4000:] for index in range(2)
  )


def config_of(config, fields):
  found = jaxkd.load_config(f"{CONFIGS}/{config}")
  found.update_from_flattened_dict(fields)
  return found


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
  found = []
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
    found.append(student_of(folder).variables["params"])
  for other in found[1:]:
    for layer, arrays in found[0].items():
      for name, array in arrays.items():
        np.testing.assert_allclose(other[layer][name], array, atol=1e-5)


VERBS = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.runtime import devices, processes

me, port = int(sys.argv[1]), sys.argv[2]
processes.join(
  f"127.0.0.1:{port}", 2, me, initialization_s=120, heartbeat_s=100
)
assert processes.is_multiprocess() and processes.is_primary() == (me == 0)
assert processes.broadcast(7 + me) == 7
assert processes.any_process(me == 1, False) == (True, False)

def raised(kind, by):
  try:
    with processes.raise_on_all():
      if me == by:
        raise kind(f"told by {by}")
  except JaxkdError as error:
    assert type(error) is kind and str(error) == f"told by {by}", error
    return True

assert raised(JaxkdError, 0) and raised(JaxkdError, 1)
assert raised(BudgetExhausted, 0)
with processes.raise_on_all():
  pass
processes.check_same("this", "equal")
try:
  processes.check_same("that", f"{me}")
  raise AssertionError
except JaxkdError as error:
  assert "differ in that" in str(error)

tree = {"x": np.arange(4.0), "key": jax.random.key(3), "n": 2, "none": None}
there = devices.replicate(tree)
assert not there["x"].is_fully_addressable
back = devices.to_local(jax.jit(lambda tree: tree)(there))
assert back["x"].is_fully_addressable and back["key"].is_fully_addressable
np.testing.assert_array_equal(back["x"], tree["x"])
assert jax.random.bits(back["key"]) == jax.random.bits(tree["key"])
doubled = devices.over_sets(lambda shared, batched: shared * batched)
found = jax.jit(doubled)(devices.replicate(2.0), there["x"])
assert not found.is_fully_replicated
np.testing.assert_array_equal(devices.to_local(found), 2 * np.arange(4.0))

def step(state, batch):
  return state + devices.mean(batch.sum()) + 0 * devices.device_index()

step = devices.data_parallel(step)
split = devices.split_batches(jnp.arange(8.0).reshape(2, 4))
state = step(devices.replicate(jnp.float32(1)), split)
state = step(state, split)
assert float(devices.to_local(state)) == 1 + 28 / 2 * 2
print("all is well")
"""


def test_what_processes_share(tmp_path):
  port = str(free_port())
  processes = [
    start(["-c", VERBS, str(index), port], tmp_path / f"log{index}")
    for index in range(2)
  ]
  assert statuses(processes) == [0, 0], logs(tmp_path)
  for index in range(2):
    assert "all is well" in (tmp_path / f"log{index}").read_text()


@pytest.mark.parametrize(
  "flags, message",
  [
    ([], "give --coordinator, --num_processes and --process_id"),
    (
      [
        "--coordinator=127.0.0.1:1", "--num_processes=2", "--process_id=2",
      ],
      "process_id < num_processes",
    ),
  ],
)  # fmt: skip
def test_wrong_flags_are_told_in_a_line(tmp_path, flags, message):
  command = ["-m", "jaxkd.main", f"--config=configs/{CAKE}", "--distributed"]
  process = start(
    [*command, *flags, f"--workdir={tmp_path / 'run'}"], tmp_path / "log"
  )
  assert process.wait(WAIT_S) == 2, (tmp_path / "log").read_text()
  (line,) = (tmp_path / "log").read_text().strip().splitlines()
  assert message in line
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "given, message",
  [
    ((None, 2, None), "belong together"),
    (("here", 2, 0), "--coordinator=here is no address; write HOST:PORT"),
  ],
)
def test_processes_that_can_not_be_joined_are_told_why(given, message):
  with pytest.raises(jaxkd.JaxkdError, match=message):
    processes.join(*given, initialization_s=1, heartbeat_s=10)


def test_flags_of_several_processes_go_together(monkeypatch):
  for name in ("DISTRIBUTED", "COORDINATOR", "NUM_PROCESSES", "PROCESS_ID"):
    flag = SimpleNamespace(value=1 if name == "PROCESS_ID" else None)
    monkeypatch.setattr(main, name, flag)
  with pytest.raises(jaxkd.JaxkdError, match="need --distributed"):
    main.join_processes()
  monkeypatch.setattr(main, "DISTRIBUTED", SimpleNamespace(value=True))
  monkeypatch.setattr(main, "CONFIG", SimpleNamespace(value={"cells": {}}))
  with pytest.raises(jaxkd.JaxkdError, match="runs of a table"):
    main.join_processes()


@pytest.mark.parametrize("field", ["url", "replay"])
def test_several_processes_ask_no_paid_teacher(monkeypatch, field):
  monkeypatch.setattr(processes, "is_multiprocess", lambda: True)
  config = jaxkd.load_config(f"{CONFIGS}/{CAKE}")
  config.teacher[field] = "there"
  spec = jaxkd.DataSpec("mine", (2,), 2, (0.0,), (1.0,))
  with pytest.raises(jaxkd.JaxkdError, match=rf"teacher.{field}=there: only"):
    hosts.check(config, jaxkd.Dataset.without_images(spec))


def test_a_fingerprint_is_of_config_and_data():
  config = jaxkd.load_config(f"{CONFIGS}/{CAKE}")
  spec = jaxkd.DataSpec("mine", (2,), 2, (0.0,), (1.0,))
  data = jaxkd.Dataset.without_images(spec)
  other = data._replace(train_labels=np.ones(1, np.int32))
  first = hosts.fingerprint(config, data)
  assert first == hosts.fingerprint(config, data)
  assert first != hosts.fingerprint(config, other)
  config.seed = 1
  assert first != hosts.fingerprint(config, data)
