"""Defences: one file per published system, which takes and returns a teacher.

The file is named as in `config.teacher.defense.name`. A dotted path there names
a module outside of the package, for instance `my_package.my_defense`. A module
has one of two functions:

  defend(trainer, undefended, block)  trains another network in the teacher's
                                      place; with `check(teacher_block)`
  answer(probs, images, **fields)     changes the probabilities that a teacher
                                      in front of others answers with

and declares the fields that it adds to `teacher.defense` in `FIELDS`. `answer`
is a pure function of `probs [B, K]` and of the `images [B, ...]` in pixel space
that they answer; it returns probabilities `[B, K]`, not negative, whose sum
differs from 1 by rounding at most. It needs no training, so that
`python -m jaxkd.serve --defense=NAME` applies it as well. `KEEPS_LABEL = True`
in its module says that the likeliest class always stays.
"""

from dataclasses import dataclass
import importlib
import pkgutil
from types import ModuleType

import jax
from ml_collections import ConfigDict

from jaxkd.config import checks, user_code
from jaxkd.config.fields import Block, Field, Values
from jaxkd.config.teacher_fields import behind_interface
from jaxkd.models.changed_outputs import ChangedApply
from jaxkd.models.network_outputs import to_logits
from jaxkd.training.trained_network import Trainer
from jaxkd.types import Array, Classifier, JaxkdError, Outputs

FIELD = "teacher.defense.name"
# What a defence of the answer can't protect, because it tells more.
BEYOND_ANSWERS = ("logits", "white_box")


def names() -> list[str]:
  """Returns the names of all defences of the package."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def answer_names() -> list[str]:
  """Returns the names of those that change answers and train nothing."""
  return [name for name in names() if changes_answers(name)]


def find(name: str, field: str = FIELD) -> ModuleType:
  """Returns the module of a defence.

  Args:
    name: one of `names()`, or the dotted path of a module outside.
    field: that names it, for messages.

  Raises:
    JaxkdError: if there is no such module, or it is no defence.
  """
  if "." not in name:
    checks.choice(field, name, names())
    return importlib.import_module(f"{__name__}.{name}")
  module = user_code.load_module(field, name)
  if not hasattr(module, "answer"):
    user_code.load_module(field, name, "check", "defend")
  return module


def changes_answers(name: str) -> bool:
  """Returns whether a defence changes answers and trains nothing."""
  return hasattr(find(name), "answer")


def keeps_label(name: str) -> bool:
  """Returns whether a defence of the answer never changes the label."""
  return getattr(find(name), "KEEPS_LABEL", False)


def own_fields(name: str) -> tuple[Field | Block, ...]:
  """Returns the fields that a defence adds to `teacher.defense`.

  Raises:
    JaxkdError: if there is no such defence.
  """
  return getattr(find(name), "FIELDS", ()) if name else ()


def check(block: ConfigDict) -> None:
  """Refuses a defence that does not suit its teacher.

  Args:
    block: `config.teacher`, with a block `defense`.

  Raises:
    JaxkdError: if there is no such defence, if the teacher is behind an
      interface, if more than its answers can be seen, or if the defence can't
      be trained by this config.
  """
  name = block.defense.name
  if not name:
    return
  module = find(name)
  if behind_interface(block):
    raise JaxkdError(
      f"{FIELD}={name}: a served or replayed teacher can't be changed from "
      "outside; leave the defence out, or have its owner start the server with "
      "it (python -m jaxkd.serve --defense)."
    )
  if changes_answers(name) and block.access in BEYOND_ANSWERS:
    raise JaxkdError(
      f"{FIELD}={name} changes the probabilities of answers, and "
      f"teacher.access={block.access} shows more; choose label, top_k or probs."
    )
  if hasattr(module, "check"):
    module.check(block)


def defend(
  trainer: Trainer, undefended: Classifier, block: ConfigDict
) -> Classifier:
  """Returns the teacher that the defence `block.name` makes of another one.

  Args:
    trainer: for the teacher's data.
    undefended: the teacher to protect.
    block: `config.teacher.defense`.
  """
  if changes_answers(block.name):
    defense = AnswerDefense.of(block.name, block)
    return with_answer_defense(undefended, defense)
  if "." in block.name:
    trainer = trainer._replace(modules=(block.name,))
  return find(block.name).defend(trainer, undefended, block)


@dataclass(frozen=True)
class AnswerDefense:
  """A defence of the answer with its numbers; equal ones have equal hashes.

  Attributes:
    name: of its module.
    values: names and values of its fields.
  """

  name: str
  values: tuple[tuple[str, int | float | str | bool], ...] = ()

  @classmethod
  def of(cls, name: str, values: Values) -> "AnswerDefense":
    """Takes the values of the defence's own fields."""
    fields = own_fields(name)
    return cls(name, tuple((f.name, values[f.name]) for f in fields))

  def __call__(self, probs: Array, images: Array) -> Array:
    """Changes `probs [B, K]`, the answers to `images` in pixel space."""
    return find(self.name).answer(probs, images, **dict(self.values))


@dataclass(frozen=True)
class DefendedOutputs:
  """Changes the outputs of a network as a defence of its answers does.

  Logits are the logarithms of the changed probabilities, at least 1e-12.

  Attributes:
    defense: of the answers.
  """

  defense: AnswerDefense

  def __call__(self, outputs: Outputs, images: Array) -> Outputs:
    probs = self.defense(jax.nn.softmax(outputs.logits), images)
    return outputs._replace(logits=to_logits(probs, "probabilities"))


def with_answer_defense(
  classifier: Classifier, defense: AnswerDefense
) -> Classifier:
  """Returns a network with the same weights whose answers are defended."""
  apply = ChangedApply(classifier.apply, DefendedOutputs(defense))
  return classifier.replace(apply=apply)
