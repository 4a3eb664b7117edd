"""Defences: one file per published system, which takes and returns a teacher.

The file is named as in `config.teacher.defense.name`. A dotted path there names
a module outside of the package with the same two functions, `check` and
`defend`, for instance `my_package.my_defense`.
"""

import importlib
import pkgutil
from types import ModuleType

from jaxkd.config import checks, user_code
from jaxkd.config.teacher_fields import behind_interface
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Classifier, JaxkdError


def names() -> list[str]:
  """Returns the names of all defences of the package."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
  """Returns the module of a defence.

  Args:
    name: one of `names()`, or the dotted path of a module outside.

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
  """Refuses a defence that does not suit its teacher.

  Args:
    block: `config.teacher`, with a block `defense`.

  Raises:
    JaxkdError: if there is no such defence, if the teacher is not trained here,
      or if the defence can't be trained by this config.
  """
  defense = block.defense
  if not defense.name:
    return
  module = find(defense.name)
  if behind_interface(block):
    raise JaxkdError(
      f"teacher.defense.name={defense.name}: a defence trains the teacher, and "
      "a served or replayed one is not trained here; leave the defence out."
    )
  module.check(block)


def defend(trainer: Trainer, undefended: Classifier, block) -> Classifier:
  """Returns the teacher that the defence `block.name` makes of another one.

  Args:
    trainer: for the teacher's data.
    undefended: the teacher to protect.
    block: `config.teacher.defense`.
  """
  module = find(block.name)
  if "." in block.name:
    trainer = trainer._replace(modules=(block.name,))
  return module.defend(trainer, undefended, block)
