"""Config files are found by their paths, and the package's from any folder."""

import pytest

from jaxkd import config as c
from jaxkd.types import JaxkdError


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = c.load_config("configs/cake.py:dataset=mnist,smoke")
  assert config.method == "cake"
  own = tmp_path / "configs"
  own.mkdir()
  (own / "cake.py").write_text(
    "from jaxkd import config as c\n"
    "def get_config(argument=''):\n  return c.block(mine=argument)"
  )
  assert c.load_config("configs/cake.py:mine").mine == "mine"
  with pytest.raises(JaxkdError, match="no config file configs/cak.py"):
    c.load_config("configs/cak.py")


def test_a_config_is_made_from_another_of_its_folder():
  folder = c.resolve_path("configs/kd.py")
  config = c.sibling(folder, "htc", "smoke")
  assert config.method == "htc"
  with pytest.raises(JaxkdError, match=r"no config file .*hct\.py"):
    c.sibling(folder, "hct", "")


def test_networks_are_shared_without_sharing_blocks():
  config = c.load_config("configs/kd.py:smoke")
  shared = c.load_config("configs/cake.py:dataset=cifar10")
  c.share_networks(config, shared, "mlp")
  assert config.student.model == "mlp"
  assert config.image_size == shared.image_size
  for field in ("model", "epochs", "batch_size", "optimizer", "augment"):
    assert config.teacher[field] == shared.teacher[field]
  config.teacher.optimizer.learning_rate = 123.0
  assert shared.teacher.optimizer.learning_rate != 123.0


@pytest.mark.parametrize(
  ("code", "message"),
  [
    ("{", r"own.py: SyntaxError: "),
    ("import nothing_of_this_name", r"own.py, line 1: ModuleNotFoundError: No"),
    ("x = 1", "own.py: AttributeError: .*get_config"),
    ("def get_config():\n  return 1", "own.py: TypeError: .*argument"),
    ("def get_config(a):\n  x = 1\n  return x.y", "own.py, line 3: Attribute"),
    ("def get_config(a):\n  return {}", "own.py returned a dict"),
    ("def get_config(a):\n  return None", "own.py returned a NoneType"),
    ("from jaxkd import config as c\ndef get_config(a):\n  c.experiment(1)",
     "own.py, line 3: TypeError: .*experiment"),
  ],
)  # fmt: skip
def test_a_config_with_a_mistake_is_named(tmp_path, code, message):
  path = tmp_path / "own.py"
  path.write_text(code)
  with pytest.raises(JaxkdError, match=message):
    c.load_config(str(path))


def test_other_kinds_of_files_are_no_configs(tmp_path):
  for name, content in (("c.json", b'{"a": null}'), ("c.py", b"\x00\xff")):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(JaxkdError, match=rf"{name}.*Error"):
      c.load_config(str(tmp_path / name))


def test_a_mistake_of_ours_in_a_config_is_a_traceback(monkeypatch):
  monkeypatch.setattr(c.blocks, "copied", None)
  with pytest.raises(TypeError):
    c.load_config("configs/cake.py:smoke")
