"""Teachers that users bring: a classifier, a bundle, or their own function."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxkd import models
from jaxkd.config import user_code
from jaxkd.config.teacher_fields import behind_interface
from jaxkd.runtime.files import user_path
from jaxkd.serialization import bundle
from jaxkd.teachers import function_teacher
from jaxkd.teachers.function_teacher import BlackBoxFunction
from jaxkd.types import Classifier, DataSpec, JaxkdError

# Begins `teacher.checkpoint` in the saved config of a run whose teacher was
# passed as an object: only a digest of its weights can be compared later.
GIVEN = "given:"


class ExternalTeacher(NamedTuple):
  """A teacher that is not trained here, and the inputs that it describes.

  Attributes:
    classifier: the teacher; None where it is trained here, loaded from one of
      our checkpoints, remote or replayed.
    spec: the shape and classes of its inputs; None if it doesn't say.
    black_box: the function that answers, if the teacher is one.
    class_names: names of its classes in order; empty if it doesn't say.
  """

  classifier: Classifier | None = None
  spec: DataSpec | None = None
  black_box: BlackBoxFunction | None = None
  class_names: tuple[str, ...] = ()


def load_external(
  block: ConfigDict, classifier: Classifier | BlackBoxFunction | None = None
) -> ExternalTeacher:
  """Loads the teacher that `config.teacher` names, unless one was passed.

  Args:
    block: `config.teacher`. `factory` is `module:function`; the function takes
      no arguments and returns a `jaxkd.Classifier`, or one and a
      `jaxkd.DataSpec`. `checkpoint` may be a folder that `jaxkd.import_teacher`
      wrote. `callable` is `module:function`, a function that answers images.
    classifier: a teacher that was passed as an object.

  Raises:
    JaxkdError: if more than one teacher is set, if there is no such function or
      folder, or if the bundle's probe gives other outputs.
  """
  of_resumed_run = block.checkpoint.startswith(GIVEN)
  sources = {
    "the one that was passed to distill": classifier is not None,
    "teacher.factory": block.factory,
    "teacher.checkpoint": block.checkpoint and not of_resumed_run,
    "teacher.callable": block.callable,
    "teacher.url or teacher.replay": block.url or block.replay,
  }
  names = [name for name, value in sources.items() if value]
  if len(names) > 1:
    raise JaxkdError(
      f"There is more than one teacher: {', '.join(names)}; leave all but one "
      "out."
    )
  if isinstance(classifier, BlackBoxFunction):
    return ExternalTeacher(black_box=classifier)
  if block.callable:
    return ExternalTeacher(black_box=function_teacher.load(block))
  if classifier is not None:
    return ExternalTeacher(_with_output(classifier, block))
  if block.factory:
    made = call_factory(block.factory)
    return made._replace(classifier=_with_output(made.classifier, block))
  if block.checkpoint and user_path(block.checkpoint).is_dir():
    classifier, spec, card = bundle.read(
      user_path(block.checkpoint), user_code.user_function(block.model)
    )
    if block.output_kind not in ("", card.outputs):
      classifier = _of_kind(classifier, card.outputs, block)
    return ExternalTeacher(classifier, spec, class_names=card.class_names)
  if not behind_interface(block) and (block.output or block.output_kind):
    raise JaxkdError(
      "teacher.output and teacher.output_kind are for teachers that exist "
      "already; one that is trained here gives logits: leave them out."
    )
  return ExternalTeacher()


def _with_output(classifier: Classifier, block: ConfigDict) -> Classifier:
  return models.with_output(classifier, block.output, block.output_kind)


def _of_kind(
  classifier: Classifier, outputs: str, block: ConfigDict
) -> Classifier:
  """Converts the outputs of a bundle.

  Raises:
    JaxkdError: if its card says that they are no logits.
  """
  if outputs != "logits":
    raise JaxkdError(
      f"teacher.output_kind={block.output_kind}, but {block.checkpoint} says "
      f"that its network gives {outputs}; leave the field out."
    )
  return _with_output(classifier, block)


def call_factory(name: str) -> ExternalTeacher:
  """Calls `module:function` and returns the teacher that it makes.

  The module is also looked for in the current folder.

  Raises:
    JaxkdError: if there is no such function, or it returns something else.
  """
  result = user_code.load_function("teacher.factory", name)()
  classifier, spec = result if isinstance(result, tuple) else (result, None)
  if not isinstance(classifier, Classifier) or not (
    spec is None or isinstance(spec, DataSpec)
  ):
    raise JaxkdError(
      f"teacher.factory={name!r} returned a {type(classifier).__name__}; it "
      "must return a jaxkd.Classifier (from_linen, from_nnx, from_function), "
      "or one and a jaxkd.DataSpec."
    )
  return ExternalTeacher(classifier, spec)
