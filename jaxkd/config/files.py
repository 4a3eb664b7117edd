"""Config files are found and loaded, and configs are made from others."""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from jaxkd.config.blocks import block
from jaxkd.errors import JaxkdError

PACKAGE = Path(__file__).parents[1]


def resolve_path(name: str) -> str:
  """Returns `name`, or the path of the package's config if there is none here.

  So `configs/cake.py:smoke` works in every folder.
  """
  path, colon, argument = name.partition(":")
  packaged = PACKAGE / path
  if not Path(path).exists() and path.startswith("configs/"):
    path = str(packaged) if packaged.exists() else path
  return f"{path}{colon}{argument}"


def load_config(name: str) -> ConfigDict:
  """Loads a config that is named as for `--config`: `configs/cake.py:smoke`.

  Raises:
    JaxkdError: if there is no such file.
  """
  path, _, argument = resolve_path(name).partition(":")
  if not Path(path).is_file():
    raise JaxkdError(f"There is no config file {path}.")
  spec = importlib.util.spec_from_file_location("jaxkd_config", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(argument)


def sibling(config_file: str, name: str, argument: str) -> ConfigDict:
  """Loads the config `name` from the folder of `config_file`, to vary it."""
  path = Path(config_file).with_name(f"{name}.py")
  return load_config(f"{path}:{argument}")


def share_networks(
  config: ConfigDict, shared: ConfigDict, student: str
) -> None:
  """Gives a config the teacher of another, and `student` to teach."""
  teacher = block(**shared.teacher)
  for field in ("model", "epochs", "batch_size", "optimizer", "augment"):
    config.teacher[field] = teacher[field]
  config.student.model = student
  config.image_size = shared.image_size
