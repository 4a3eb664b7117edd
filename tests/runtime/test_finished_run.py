"""Damaged files of a finished run are named, in one line."""

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
