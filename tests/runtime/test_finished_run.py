"""Damaged files of a finished run are named, in one line."""

import errno

import pytest

from jaxkd.errors import JaxkdError
from jaxkd.runtime import finished_run


@pytest.mark.parametrize("text", ["", '{"format": 2', "[]", "3", "\x00\x01"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, text):
  for name in ("config.json", "report.json"):
    (tmp_path / name).write_text(text)
  for name, read in (
    ("config.json", finished_run.read_config),
    ("report.json", finished_run.read_report),
  ):
    with pytest.raises(JaxkdError, match=f"{name} .*Delete that file") as error:
      read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_config_without_its_values(tmp_path):
  (tmp_path / "config.json").write_text('{"format": 2}')
  with pytest.raises(JaxkdError, match="holds no resolved config"):
    finished_run.read_config(tmp_path)
  text = '{"format": 2, "resolved": {"synthesis": {}, "teacher": 3, "seed": 0}}'
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(
    JaxkdError, match=r"has no method, teacher.checkpoint, so"
  ):
    finished_run.read_config(tmp_path)


def test_a_folder_in_the_place_of_a_file(tmp_path):
  (tmp_path / "report.json").mkdir()
  with pytest.raises(JaxkdError, match="report.json cannot be read: Is a dir"):
    finished_run.read_report(tmp_path)


def test_a_file_that_may_not_be_read_is_not_to_be_deleted(
  tmp_path, monkeypatch
):
  def read(path, encoding):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))

  (tmp_path / "report.json").touch()
  monkeypatch.setattr(finished_run.Path, "read_text", read)
  with pytest.raises(JaxkdError, match=r"Permission denied. Give access to it"):
    finished_run.read_report(tmp_path)
