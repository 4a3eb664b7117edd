"""A teacher that comes from elsewhere: a bundle, or the user's own function."""

import importlib
from pathlib import Path
import sys
from typing import NamedTuple

from jaxkd.serialization import bundle
from jaxkd.types import Classifier, DataSpec, JaxkdError

# Marks a run whose teacher is known by its weights alone.
GIVEN = "given:"


class ExternalTeacher(NamedTuple):
  """Attributes:

  classifier: the teacher; None where it is trained here, a checkpoint of ours
    or behind an interface.
  spec: what its inputs look like, if it says so.
  """

  classifier: Classifier | None = None
  spec: DataSpec | None = None


def load_external(block, given: Classifier | None = None) -> ExternalTeacher:
  """The teacher that was given, or that `config.teacher` fetches.

  Args:
    block: `config.teacher`. `network` is `module:function`; the function takes
      nothing and returns a `jaxkd.Classifier`, or one and a `jaxkd.DataSpec`.
      `checkpoint` may be a folder that `jaxkd.import_teacher` wrote.

  Raises:
    JaxkdError: if it is not there, not a classifier, or its probe differs, or
      if there are two.
  """
  saved = block.checkpoint.startswith(GIVEN)  # the mark of an earlier run
  named = {
    "a classifier that was given": given is not None,
    "teacher.network": block.network,
    "teacher.checkpoint": block.checkpoint and not saved,
    "teacher.url or teacher.replay": block.url or block.replay,
  }
  found = [name for name, value in named.items() if value]
  if len(found) > 1:
    raise JaxkdError(
      f"There is more than one teacher: {', '.join(found)}; leave all but one "
      "out."
    )
  if given is not None:
    return ExternalTeacher(given)
  if block.network:
    return call_factory(block.network)
  if block.checkpoint and Path(block.checkpoint).is_dir():
    classifier, spec, _ = bundle.read(block.checkpoint)
    return ExternalTeacher(classifier, spec)
  return ExternalTeacher()


def call_factory(name: str) -> ExternalTeacher:
  """What the function `module:function` returns; the current folder may hold
  the module.

  Raises:
    JaxkdError: if there is no such function, or it returns something else.
  """
  module, colon, function = name.partition(":")
  if not (module and colon and function):
    raise JaxkdError(
      f"teacher.network={name!r}: write module:function, for instance "
      "my_models:teacher."
    )
  if "" not in sys.path:
    sys.path.insert(0, "")
  try:
    make = getattr(importlib.import_module(module), function)
  except ModuleNotFoundError as error:
    raise JaxkdError(
      f"teacher.network={name!r}: there is no module {error.name}; start in "
      "its folder, or install it."
    ) from error
  except AttributeError as error:
    raise JaxkdError(
      f"teacher.network={name!r}: {module} has no {function}."
    ) from error
  found = make()
  classifier, spec = found if isinstance(found, tuple) else (found, None)
  if not isinstance(classifier, Classifier) or not (
    spec is None or isinstance(spec, DataSpec)
  ):
    raise JaxkdError(
      f"teacher.network={name!r} returned a {type(classifier).__name__}; it "
      "must return a jaxkd.Classifier (from_linen, from_nnx, from_function), "
      "or one and a jaxkd.DataSpec."
    )
  return ExternalTeacher(classifier, spec)
