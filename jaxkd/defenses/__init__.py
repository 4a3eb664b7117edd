"""One file per published defence: a teacher in, a teacher out.

The file's name is what `config.teacher.defense.name` says.
"""

import importlib
import pkgutil
from typing import Any

from jaxkd.config import checks
from jaxkd.types import Classifier, JaxkdError


def names() -> list[str]:
  """All defences that there are."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check(block) -> None:
  """Refuses what can't be of `config.teacher`, in which `defense` is described.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  defense = block.defense
  if not defense.name:
    return
  checks.choice("teacher.defense.name", defense.name, names())
  if block.url or block.replay:
    raise JaxkdError(
      f"teacher.defense.name={defense.name}: a teacher behind an interface is "
      "as its owner trained it; leave the defence out."
    )
  module = importlib.import_module(f"{__name__}.{defense.name}")
  module.check(block)


def defend(trainer: Any, normal: Classifier, block) -> Classifier:
  """The teacher that the defence `block.name` makes of a normal one.

  Args:
    trainer: a `jaxkd.training.trained_network.Trainer` for the owner's data.
    normal: the teacher to protect.
    block: `config.teacher.defense`.
  """
  module = importlib.import_module(f"{__name__}.{block.name}")
  return module.defend(trainer, normal, block)
