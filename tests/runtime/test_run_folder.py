"""The folder of a run: its default name, its config and its lock."""

import json

from ml_collections import ConfigDict
import pytest

from jaxkd.runtime import run_folder
from jaxkd.types import JaxkdError


def config(**fields):
  return ConfigDict({
    "method": "cake", "dataset": "mnist", "seed": 0, "tensorboard": False,
    "student": {"epochs": 3}, **fields,
  })  # fmt: skip


def lock(workdir):
  with run_folder.lock_workdir(workdir, config()) as folder:
    return folder


def test_a_locked_workdir_has_the_config(tmp_path):
  folder = lock(tmp_path / "a" / "b")
  assert json.loads((folder / "config.json").read_text())["method"] == "cake"


def test_a_changed_config_is_refused_by_field(tmp_path):
  run_folder._check_config(tmp_path, config().to_dict())
  changed = config(seed=1, student={"epochs": 4})
  with pytest.raises(JaxkdError, match=r"seed \(0, now 1\), student.epochs"):
    run_folder._check_config(tmp_path, changed.to_dict())


def test_logging_may_change(tmp_path):
  run_folder._check_config(tmp_path, config().to_dict())
  run_folder._check_config(tmp_path, config(tensorboard=True).to_dict())


def test_two_runs_do_not_share_a_folder(tmp_path):
  with (
    run_folder.lock_workdir(tmp_path, config()),
    pytest.raises(JaxkdError, match="in use by another run"),
  ):
    lock(tmp_path)
  assert lock(tmp_path) == tmp_path


@pytest.mark.parametrize("wrong", ["", "  "])
def test_an_empty_name_is_refused(wrong):
  with pytest.raises(JaxkdError, match="--workdir is empty"):
    lock(wrong)


def test_a_file_in_the_way(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(JaxkdError, match="cannot be written"):
    lock(tmp_path / "file" / "run")


def test_default_folder_follows_the_config():
  assert run_folder.default(config()) == run_folder.default(config())
  assert run_folder.default(config()) != run_folder.default(config(seed=1))
