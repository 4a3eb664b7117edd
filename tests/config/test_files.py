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
    "def get_config(argument=''):\n  return argument"
  )
  assert c.load_config("configs/cake.py:mine") == "mine"
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
