"""Config files are found and loaded, and configs are made from others."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
import traceback

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
    JaxkdError: if there is no such file, or if its code fails or returns no
      config.
  """
  path, _, argument = resolve_path(name).partition(":")
  if not Path(path).is_file():
    raise JaxkdError(f"There is no config file {path}.")
  loader = SourceFileLoader("jaxkd_config", path)
  module = module_from_spec(spec_from_loader("jaxkd_config", loader))
  try:
    loader.exec_module(module)
    config = module.get_config(argument)
  except JaxkdError:
    raise
  except Exception as error:
    where = _place_in_file(error, path)
    if not where:
      raise  # a mistake of ours
    raise JaxkdError(f"{where}: {type(error).__name__}: {error}") from error
  if not isinstance(config, ConfigDict):
    raise JaxkdError(
      f"get_config in {path} returned a {type(config).__name__}; it must "
      "return a ConfigDict, as c.experiment makes it."
    )
  return config


def _place_in_file(error: Exception, path: str) -> str:
  """Returns a config file, and the line in it that an error comes from.

  It is empty for an error that comes from another module of this package.
  """
  frames = traceback.extract_tb(error.__traceback__)
  last = Path(frames[-1].filename)
  of_config = PACKAGE / "configs" in last.parents or last == Path(__file__)
  if PACKAGE in last.parents and not of_config:
    return ""
  lines = [frame.lineno for frame in frames if frame.filename == path]
  return f"{path}, line {lines[-1]}" if lines else path


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
