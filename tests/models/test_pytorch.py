"""What is said where PyTorch can't be used."""

from pathlib import Path
import sys
import tomllib

import pytest

from jaxkd.models import pytorch
from jaxkd.types import JaxkdError


def test_where_pytorch_is_missing_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "torchax", None)  # its import fails
  with pytest.raises(JaxkdError, match=r"install 'jaxkd\[torch\]'") as error:
    pytorch.from_torch(object())
  assert len(str(error.value).splitlines()) == 1


def test_another_version_is_told(monkeypatch):
  versions = {"torch": "2.14.0", "torchax": "0.0.13"}
  monkeypatch.setattr(pytorch.metadata, "version", versions.get)

  def fail(name):
    raise AttributeError(f"{name}: no overload name 'dim_Dimname'")

  monkeypatch.setattr(pytorch.importlib, "import_module", fail)
  expected = "here are torch 2.14.0 and torchax 0.0.13: pip install"
  with pytest.raises(JaxkdError, match=expected):
    pytorch.from_torch(object())


def test_the_extra_has_the_versions_of_the_message():
  project = tomllib.loads(
    (Path(__file__).parents[2] / "pyproject.toml").read_text()
  )
  extra = project["project"]["optional-dependencies"]["torch"]
  assert extra == ["torch>=2.12,<2.13", "torchax==0.0.13"]
  assert pytorch.NEEDED == "torch 2.12 and torchax 0.0.13"
