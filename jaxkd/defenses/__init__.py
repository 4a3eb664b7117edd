"""One file per published defence: a teacher in, a teacher out.

The file's name is what `config.teacher.defense.name` says. A dotted path there
names a module outside of the package with the same two functions, `check` and
`defend`, for instance `my_package.my_defense`.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from jaxkd.config import checks, user_code
from jaxkd.types import Classifier, JaxkdError


def names() -> list[str]:
  """All defences that there are."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
  """The module of a defence: a name from `names()` or a dotted path outside.

  Raises:
    JaxkdError: if there is no such module, or it is no defence.
  """
  if "." in name:
    return user_code.load_module(
      "teacher.defense.name", name, "check", "defend"
    )
  checks.choice("teacher.defense.name", name, names())
  return importlib.import_module(f"{__name__}.{name}")


def check(block) -> None:
  """Refuses what can't be of `config.teacher`, in which `defense` is described.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  defense = block.defense
  if not defense.name:
    return
  module = find(defense.name)
  if block.url or block.replay:
    raise JaxkdError(
      f"teacher.defense.name={defense.name}: a teacher behind an interface is "
      "as its owner trained it; leave the defence out."
    )
  module.check(block)


def defend(trainer: Any, normal: Classifier, block) -> Classifier:
  """The teacher that the defence `block.name` makes of a normal one.

  Args:
    trainer: a `jaxkd.training.trained_network.Trainer` for the owner's data.
    normal: the teacher to protect.
    block: `config.teacher.defense`.
  """
  module = find(block.name)
  if "." in block.name:
    trainer = trainer._replace(modules=(block.name,))
  return module.defend(trainer, normal, block)
