"""Imports of the user's functions and modules, by names in a config.

Only names that the user gives are imported: in a config, a flag or an argument
of a function. A name in a file is never imported.
"""

from collections.abc import Callable
import importlib
from pathlib import Path
import re
import sys
from types import ModuleType

from jaxkd.errors import JaxkdError

_FUNCTION = re.compile(r"[\w.]+:\w+")


def is_function(name: str) -> bool:
  """Returns whether a name has the form `module:function`.

  >>> is_function("my_models:student"), is_function("lenet5")
  (True, False)
  """
  return _FUNCTION.fullmatch(name) is not None


def user_function(name: str) -> str:
  """Returns `name` if it has the form `module:function`, otherwise ""."""
  return name if is_function(name) else ""


def load_function(field: str, name: str) -> Callable[..., object]:
  """Imports the function `module:function`, also from the current folder.

  Args:
    field: the config field, for messages.
    name: name of the function.

  Raises:
    JaxkdError: if the name has another form, or if there is no such function.
  """
  if not is_function(name):
    raise JaxkdError(
      f"{field}={name!r}: write module:function, for instance "
      "my_models:student."
    )
  module, _, function = name.partition(":")
  value = getattr(load_module(field, module), function, None)
  if not callable(value):
    raise JaxkdError(f"{field}={name!r}: {module} has no function {function}.")
  return value


def load_module(field: str, name: str, *members: str) -> ModuleType:
  """Imports the module of a dotted path, also from the current folder.

  Args:
    field: the config field, for messages.
    name: name of the module.
    members: names that the module has to define.

  Raises:
    JaxkdError: if there is no such module, if it can't be imported, or if it
      lacks one of the members.
  """
  if "" not in sys.path:
    sys.path.insert(0, "")
  try:
    module = importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise JaxkdError(
      f"{field}={name!r}: there is no module {error.name}; start in its "
      "folder, or install it."
    ) from error
  except ImportError as error:
    raise JaxkdError(f"{field}={name!r} can't be imported: {error}.") from error
  missing = [member for member in members if not hasattr(module, member)]
  if missing:
    raise JaxkdError(f"{field}={name!r}: the module has no {missing[0]}.")
  return module


def source_files(name: str) -> list[Path]:
  """Returns the Python files of an imported top-level module or package.

  Args:
    name: `module` or `module:function`; the module may be a part of a package.
  """
  module = sys.modules[name.partition(":")[0].partition(".")[0]]
  if hasattr(module, "__path__"):
    return sorted(
      file for folder in module.__path__ for file in Path(folder).rglob("*.py")
    )
  return [Path(module.__file__)]
