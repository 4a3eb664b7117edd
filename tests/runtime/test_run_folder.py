"""The folder of a run belongs to one config and to one process at a time."""

import contextlib
import errno
import fcntl
import json

import pytest

from jaxkd.runtime import run_folder
from jaxkd.types import JaxkdError


def record(rounds=3, **fields):
  config = {
    "method": "cake",
    "dataset": "mnist",
    "seed": 0,
    "tensorboard": False,
    "queries": {"budget": 100},
    "student": {"epochs": 3},
    **fields,
  }
  return {"config": config, "plan": {"rounds": rounds}}


def lock(workdir, wanted=None):
  wanted = wanted or record()
  with run_folder.lock_workdir(workdir, wanted, name="run") as folder:
    return folder


def test_the_config_is_written(tmp_path):
  folder = lock(tmp_path / "a" / "b")
  written = json.loads((folder / "config.json").read_text())
  assert written["format"] == run_folder.FORMAT
  assert written["config"]["method"] == "cake"


def test_a_changed_config_is_refused_by_field(tmp_path):
  lock(tmp_path)
  (tmp_path / "checkpoints").mkdir()
  changed = record(seed=1, student={"epochs": 4})
  with pytest.raises(JaxkdError, match=r"seed \(0, now 1\), student.epochs"):
    lock(tmp_path, changed)
  with pytest.raises(JaxkdError, match=r"plan.rounds \(3, now 4\)"):
    lock(tmp_path, record(rounds=4))


@pytest.mark.parametrize(
  ("name", "content", "free"),
  [
    ("metrics.jsonl", b"", True),
    ("metrics.jsonl", b'{"stage": "teacher"}', False),
    ("ledger.jsonl", b'{"record": "created"}\n{"record": "opened"}', True),
    ("ledger.jsonl", b'{"record": "reserved", "request": 1}', False),
    ("ledger.jsonl", b'{"record": "booked", "name": "round 0"}', False),
    ("teacher.safetensors", b"weights", False),
  ],
)
def test_a_run_that_ended_at_its_start_leaves_the_folder_free(
  tmp_path, name, content, free
):
  lock(tmp_path)
  (tmp_path / name).write_bytes(content)
  changed = record(seed=1)
  with (
    contextlib.nullcontext()
    if free
    else pytest.raises(JaxkdError, match="another config")
  ):
    lock(tmp_path, changed)
    lock(tmp_path, changed)


def test_logging_may_change(tmp_path):
  lock(tmp_path)
  assert lock(tmp_path, record(tensorboard=True)) == tmp_path


def test_a_budget_may_grow_and_not_shrink(tmp_path):
  lock(tmp_path)
  assert lock(tmp_path, record(queries={"budget": 200})) == tmp_path
  (tmp_path / "teacher.safetensors").write_text("weights")
  with pytest.raises(JaxkdError, match=r"queries.budget \(200, now 100\)"):
    lock(tmp_path)


def test_two_runs_do_not_share_a_folder(tmp_path):
  with (
    run_folder.lock_workdir(tmp_path, record(), name="run"),
    pytest.raises(JaxkdError, match="in use by another run"),
  ):
    lock(tmp_path)
  assert lock(tmp_path) == tmp_path


@pytest.mark.parametrize("text", ['{"method": "cake"}', '{"format": 99}'])
def test_another_layout_is_refused_in_one_line(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(JaxkdError, match="another version of jaxkd") as error:
    lock(tmp_path)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", '{"format": 2', "[]", '{"format": 2}'])
def test_a_damaged_config_is_refused_by_its_path(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(JaxkdError, match="config.json is no config of a run"):
    lock(tmp_path)
  assert (tmp_path / "config.json").read_text() == text


@pytest.mark.parametrize("wrong", ["", "  "])
def test_an_empty_name_is_refused(wrong):
  with pytest.raises(JaxkdError, match="--workdir is empty"):
    lock(wrong)


def test_a_file_in_the_way(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(JaxkdError, match="cannot be written"):
    lock(tmp_path / "file" / "run")


def test_the_default_folder_follows_the_config():
  assert run_folder.default("run", record()) == run_folder.default(
    "run", record()
  )
  assert run_folder.default("run", record()) != run_folder.default(
    "run", record(seed=1)
  )


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert lock("~/runs/a") == tmp_path / "runs" / "a"


def test_a_disk_without_locks_is_not_taken_for_another_run(
  tmp_path, monkeypatch
):
  def fail(file, kind):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", fail)
  with pytest.raises(JaxkdError, match="can't be locked .No locks available"):
    lock(tmp_path)
