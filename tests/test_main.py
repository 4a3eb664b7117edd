"""Tests of the command line in separate processes."""

import errno
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

from forks import run_module
import numpy as np
import pytest

import jaxkd
from jaxkd import main
from jaxkd.pipeline import resolution
from jaxkd.runtime import cores
from jaxkd.runtime.metrics import read_metrics

ROOT = Path(__file__).parents[1]
TOY = "--config=configs/cake.py:dataset=two_moons,smoke"


def command(*arguments):
  return [sys.executable, "-m", "jaxkd.main", *arguments]


def run(*arguments, **environment):
  return run_module(["jaxkd.main", *arguments], ROOT, os.environ | environment)


def refused(result):
  """Returns the one or two lines of an error."""
  assert result.returncode == 2, result.stderr
  assert "Traceback" not in result.stderr
  lines = result.stderr.strip().splitlines()
  assert len(lines) <= 2, result.stderr
  return " ".join(lines)


def test_list_names_everything():
  result = subprocess.run(
    command("--list"), cwd=ROOT, capture_output=True, text=True, check=False
  )
  assert result.returncode == 0, result.stderr
  for name in ("cake", "lenet5_half", "resnet34", "two_moons", "svhn_cropped"):
    assert name in result.stdout


def test_plan_says_what_a_run_would_do():
  result = run(TOY, "--plan")
  assert result.returncode == 0, result.stderr
  assert "student: mlp, 942 parameters" in result.stdout
  assert "none: the teacher is a white box" in result.stdout


def test_fields_are_printed_with_what_they_take():
  result = run("--config=configs/dafl.py", "--fields")
  assert result.returncode == 0, result.stderr
  assert "synthesis.student_steps = 3\n    an integer of at least 1." in (
    result.stdout
  )
  assert "grid.temperature = (not set)" in result.stdout


@pytest.mark.parametrize(
  "arguments, message",
  [
    ([TOY, "--config.student.augment=5"], "student.augment=(5,): choose a tup"),
    ([TOY, "--config.method=cakee"], "Did you mean cake"),
    (["--config=configs/cake.py", "--config.student.epochs=many"], "epochs"),
    (["--config", "configs/cak.py"], "no config file configs/cak.py"),
    ([TOY, "--workdir=/dev/null/run"], "cannot be written"),
    (["--config=configs/cake.py:dataset=cifar100"], "jaxkd.data prepare"),
    ([], "--config is missing"),
    (
      ["--config=configs/deepinversion.py:smoke,teacher=mlp"],
      "'mlp' shows none",
    ),
    *(
      pytest.param(*wrong, marks=pytest.mark.slow)
      for wrong in (
        (["--config=configs/cake.py:datset=mnist"], "Did you mean dataset"),
        (["--config=configs/cak.py"], "configs/cak.py"),
        (["--config=configs/cake.py", "--config.sed=1"], "sed"),
        ([TOY, "--config.student.model=mpl"], "Did you mean mlp"),
        ([TOY, "--config.synthesis.set_size=101"], "set_size=101"),
        ([TOY, "--config.synthesis.group_size=5"], "only 2 classes"),
        ([TOY, "--workdir="], "--workdir is empty"),
        (["more"], "is not a flag"),
      )
    ),
  ],
)  # fmt: skip
def test_wrong_input_gives_one_or_two_lines(arguments, message, tmp_path):
  began = time.monotonic()
  if not any(argument.startswith("--workdir") for argument in arguments):
    arguments = [*arguments, f"--workdir={tmp_path}"]
  error = refused(run(*arguments, TFDS_DATA_DIR=str(tmp_path)))
  assert message in error
  assert time.monotonic() - began < 60


@pytest.mark.slow
def test_nan_names_the_term_and_the_set(tmp_path):
  error = refused(
    run(TOY, f"--workdir={tmp_path}", "--config.synthesis.step_size=1e30")
  )
  assert "term" in error
  assert "set 0" in error


@pytest.mark.slow
def test_a_changed_config_and_a_damaged_checkpoint_are_refused(tmp_path):
  folder = f"--workdir={tmp_path}"
  assert run(TOY, folder).returncode == 0
  error = refused(run(TOY, folder, "--config.seed=1"))
  assert "seed (0, now 1)" in error
  for path in (tmp_path / "checkpoints" / "synthesis").rglob("*"):
    if path.is_file() and "ocdbt" in str(path):
      path.write_bytes(b"damaged")
  error = refused(run(TOY, folder))
  assert "cannot be read" in error


def weights(folder):
  from safetensors.numpy import load_file

  return load_file(folder / "student.safetensors")


def start(folder, *more):
  folder.mkdir(exist_ok=True)
  with (folder / "log").open("a") as log:
    return subprocess.Popen(
      command(
        TOY, f"--workdir={folder}", "--config.synthesis.sets_per_round=2",
        "--config.student.epochs=300", *more,
      ),
      cwd=ROOT, stdout=log, stderr=log,
    )  # fmt: skip


def wait_for(folder, stage, step):
  """Waits until the run has done a step of a stage."""
  deadline = time.monotonic() + 120
  while time.monotonic() < deadline:
    records = read_metrics(folder)
    if any(r["stage"] == stage and r["step"] >= step for r in records):
      return
    time.sleep(0.05)
  raise AssertionError(f"{stage} {step} was not reached: {records}")


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_continues(tmp_path):
  process = start(tmp_path / "stopped")
  wait_for(tmp_path / "stopped", "student", 3)
  process.send_signal(signal.SIGTERM)
  assert process.wait(60) == 143
  assert "continues" in (tmp_path / "stopped" / "log").read_text()
  assert start(tmp_path / "stopped").wait(240) == 0
  assert start(tmp_path / "whole").wait(240) == 0
  whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
  for name in whole:
    np.testing.assert_array_equal(whole[name], stopped[name])


@pytest.mark.slow
def test_a_run_that_is_killed_often_ends_in_the_identical_student(tmp_path):
  """The run gets SIGKILL at up to ten random moments, and then completes."""
  began = time.monotonic()
  assert start(tmp_path / "whole").wait(240) == 0
  whole_s = time.monotonic() - began
  moments = np.random.default_rng(0).uniform(0.2, 1.0, 10) * whole_s
  killed = 0
  for moment in moments:
    process = start(tmp_path / "killed")
    try:
      process.wait(moment)
      break
    except subprocess.TimeoutExpired:
      process.kill()
      process.wait()
      killed += 1
  assert killed >= 1
  assert start(tmp_path / "killed").wait(240) == 0
  whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
  for name in whole:
    np.testing.assert_array_equal(whole[name], resumed[name])
  steps = [(r["stage"], r["step"]) for r in read_metrics(tmp_path / "killed")]
  assert len(steps) == len(set(steps))


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ([], "give --coordinator, --num_processes and --process_id"),
    (
      [
        "--coordinator=127.0.0.1:1",
        "--num_processes=2",
        "--process_id=2",
      ],
      "process_id < num_processes",
    ),
  ],
)
def test_flags_of_several_processes_are_checked(tmp_path, flags, message):
  result = run(TOY, "--distributed", *flags, f"--workdir={tmp_path / 'run'}")
  assert message in refused(result)
  assert not (tmp_path / "run").exists()


def test_flags_of_several_processes_go_together(monkeypatch):
  for name in ("DISTRIBUTED", "COORDINATOR", "NUM_PROCESSES", "PROCESS_ID"):
    flag = SimpleNamespace(value=1 if name == "PROCESS_ID" else None)
    monkeypatch.setattr(main, name, flag)
  with pytest.raises(jaxkd.JaxkdError, match="need --distributed"):
    main.join_processes()
  monkeypatch.setattr(main, "DISTRIBUTED", SimpleNamespace(value=True))
  monkeypatch.setattr(main, "CONFIG", SimpleNamespace(value={"cells": {}}))
  with pytest.raises(jaxkd.JaxkdError, match="a run of a table"):
    main.join_processes()


def test_a_full_disk_is_one_line_and_a_mistake_of_ours_a_traceback(
  monkeypatch, capsys
):
  def fails_with(error):
    def describe():
      raise error

    monkeypatch.setattr(main, "describe_plan", describe)
    main.main(["jaxkd"])

  monkeypatch.setattr(main, "CONFIG", SimpleNamespace(value={"method": "cake"}))
  monkeypatch.setattr(main, "PLAN", SimpleNamespace(value=True))
  monkeypatch.setattr(main, "LIST", SimpleNamespace(value=False))
  monkeypatch.setattr(main, "FIELDS", SimpleNamespace(value=False))
  monkeypatch.setattr(main, "DISTRIBUTED", SimpleNamespace(value=True))
  with pytest.raises(SystemExit):
    fails_with(OSError(errno.ENOSPC, "No space left on device", "/disk/file"))
  said = capsys.readouterr().err
  assert said.startswith(
    "jaxkd: /disk/file: No space left on device. Make room"
  )
  for bug in (ZeroDivisionError(), FileNotFoundError(errno.ENOENT, "none")):
    with pytest.raises(type(bug)):
      fails_with(bug)


@pytest.mark.skipif(cores.count() < 2, reason="this machine has one core")
def test_every_core_is_a_device():
  config = jaxkd.load_config(TOY.removeprefix("--config="))
  devices = cores.number_of_devices(cores.count(), *resolution.divided(config))
  several = run(TOY, "--plan", XLA_FLAGS="")
  assert f"on the {devices} CPU device(s)" in several.stdout, several.stderr
  one = run(TOY, "--plan", "--jax_num_cpu_devices=1", XLA_FLAGS="")
  assert "on the 1 CPU device(s)" in one.stdout, one.stderr
