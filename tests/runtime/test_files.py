"""Atomic writes of files and folders, and conversion to JSON."""

import errno
import json
import math
import os
from pathlib import Path
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.errors import JaxkdError
from jaxkd.runtime import files
from jaxkd.runtime.files import to_json


def names(folder):
  return [path.name for path in folder.iterdir()]


def test_a_file_is_replaced_whole(tmp_path):
  path = tmp_path / "made" / "file"
  files.write_text(path, "old")
  with files.atomic_write(path) as partial:
    partial.write_text("new")
    assert path.read_text() == "old"
  assert path.read_text() == "new"
  assert names(path.parent) == ["file"]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / "file"
  files.write_text(path, "old")
  with pytest.raises(KeyboardInterrupt), files.atomic_write(path) as partial:
    partial.write_text("half")
    raise KeyboardInterrupt
  assert path.read_text() == "old"
  assert names(tmp_path) == ["file"]


def test_a_folder_appears_when_it_is_complete(tmp_path):
  path = tmp_path / "folder"
  path.mkdir()  # an empty one is taken
  with files.atomic_folder(path) as partial:
    (partial / "below").mkdir()
    (partial / "below" / "file").write_text("text")
    assert names(path) == []
  assert (path / "below" / "file").read_text() == "text"
  assert names(tmp_path) == ["folder"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
  files.write_text(tmp_path / "folder" / "file", "mine")
  for taken in (tmp_path / "folder", tmp_path / "folder" / "file"):
    with (
      pytest.raises(JaxkdError, match=f"{taken} exists and is not an empty"),
      files.atomic_folder(taken),
    ):
      pass
  assert (tmp_path / "folder" / "file").read_text() == "mine"


def test_all_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
  events, fsync, replace = [], os.fsync, os.replace

  def record_fsync(descriptor):
    events.append(os.fstat(descriptor).st_size)
    fsync(descriptor)

  def record_replace(source, target):
    events.append(Path(target).name)
    replace(source, target)

  monkeypatch.setattr(os, "fsync", record_fsync)
  monkeypatch.setattr(os, "replace", record_replace)
  files.write_bytes(tmp_path / "file", b"12345")
  with files.atomic_folder(tmp_path / "folder") as partial:
    (partial / "below").mkdir()
    (partial / "below" / "file").write_bytes(b"123")
  assert events == [5, "file", 3, "folder"]


def test_others_may_read_what_is_written(tmp_path):
  umask = os.umask(0o022)
  try:
    files.write_text(tmp_path / "file", "")
    with files.atomic_folder(tmp_path / "folder"):
      pass
  finally:
    os.umask(umask)
  assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
  assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_errors_name_the_path_that_was_asked_for(tmp_path):
  files.write_text(tmp_path / "file", "")
  path = tmp_path / "file" / "below"
  with pytest.raises(JaxkdError, match=f"Cannot write {path}: File exists"):
    files.write_text(path, "")
  path = tmp_path / "folder"
  with (
    pytest.raises(JaxkdError, match=f"^{path}/card is damaged$"),
    files.atomic_folder(path) as partial,
  ):
    raise JaxkdError(f"{partial}/card is damaged")


def test_json_is_replaced_whole_and_holds_no_nan(tmp_path):
  path = tmp_path / "report.json"
  path.write_text("old")
  with pytest.raises(TypeError):
    files.write_json(path, {"a": object()})
  assert path.read_text() == "old"
  files.write_json(path, {"a": jnp.float32("nan"), "b": np.arange(2)})
  assert json.loads(path.read_text()) == {"a": None, "b": [0, 1]}
  assert names(tmp_path) == ["report.json"]


def test_numbers_that_json_lacks_become_null():
  tree = {
    "nan": np.float32("nan"),
    "list": [math.inf, jnp.arange(2)],
    "half": jnp.bfloat16(1.5),
    "path": Path("a") / "b",
    7: True,
  }
  assert to_json(tree) == {
    "nan": None,
    "list": [None, [0, 1]],
    "half": 1.5,
    "path": "a/b",
    "7": True,
  }


def test_a_value_that_json_cannot_represent_is_an_error():
  with pytest.raises(TypeError, match="type object cannot be written as JSON"):
    to_json({"model": object()})


def test_a_full_disk_that_a_library_tells_in_words(tmp_path):
  class TensorError(Exception):
    """An error of a library that writes tensors."""

  with (
    pytest.raises(
      JaxkdError, match="Cannot write .*a: No space left on device"
    ),
    files.atomic_write(tmp_path / "a"),
  ):
    raise TensorError("I/O error: No space left on device (os error 28)")
  with pytest.raises(TensorError), files.atomic_write(tmp_path / "a"):
    raise TensorError("another")


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (JaxkdError("One\nline."), "jaxkd: One line.\n"),
    (
      PermissionError(errno.EACCES, "Permission denied", "/run/cells"),
      "jaxkd: /run/cells: Permission denied. Make room, give access",
    ),
  ],
)
def test_what_a_user_can_mend_ends_a_command_with_a_line(error, line, capsys):
  with pytest.raises(SystemExit) as end, files.errors_end_command():
    raise error
  assert end.value.code == 2
  assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(
  "bug", [ZeroDivisionError(), ValueError("x"), FileNotFoundError(2, "none")]
)
def test_a_mistake_of_ours_keeps_its_traceback(bug):
  with pytest.raises(type(bug)), files.errors_end_command():
    raise bug


def test_a_reader_of_the_output_that_has_ended_ends_a_command(tmp_path):
  lines = (
    "from jaxkd.runtime import files",
    "with files.errors_end_command():",
    "  for _ in range(100_000):",
    "    print('a line')",
  )
  script = tmp_path / "command.py"
  script.write_text("\n".join(lines))
  with subprocess.Popen(
    [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
  ) as command:
    assert command.stdout.readline() == b"a line\n"
    command.stdout.close()
    assert command.stderr.read() == b""
  assert command.returncode == 1
