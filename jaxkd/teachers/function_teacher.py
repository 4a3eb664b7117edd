"""Any function as a black box: a cloud's client, gRPC, or a program of one's
own.
"""

from collections.abc import Callable, Iterable, Mapping, Sized
import inspect
import operator
from pathlib import Path
import traceback
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from jaxkd.config import checks, user_code
from jaxkd.config.teacher_fields import OUTPUT_KINDS
from jaxkd.errors import JaxkdError
from jaxkd.runtime.files import Json
from jaxkd.teachers.answers import CheckedAnswers
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote.codec import UNLIMITED, ResponseSpec
from jaxkd.teachers.remote.remote_teacher import RemoteTeacher
from jaxkd.teachers.remote.transport import NotServed, OutcomeUnknown
from jaxkd.types import DataSpec

ACCESS = ("label", "probs", "logits")


class BlackBoxFunction(NamedTuple):
  """A function that answers images, to be copied by `jaxkd.distill`.

  Attributes:
    function: maps uint8 images `[N, H, W, C]` to labels `[N]` or scores
      `[N, K]`.
    access: what it answers with: `label`, `probs` or `logits`.
    num_classes: K; None if the data set says it.
    output: key or index of the answers, if it returns several values.
    output_kind: what scores are: `logits`, `probabilities` or `sigmoid`; empty
      is what the access says.
  """

  function: Callable[[np.ndarray], object]
  access: str
  num_classes: int | None
  output: str = ""
  output_kind: str = ""

  @property
  def name(self) -> str:
    """The function's name, for messages and the report."""
    function = self.function
    return getattr(function, "__qualname__", type(function).__qualname__)


def black_box(
  function: Callable[[np.ndarray], object],
  *,
  access: str = "label",
  num_classes: int,
  output: str | int = "",
  output_kind: str = "",
) -> BlackBoxFunction:
  """Makes a black box of a function, which `jaxkd.distill` takes as teacher.

  Every call is counted in the ledger before it is made. If the function raises
  `jaxkd.NotServed`, nothing was done and the call is free; any other exception
  counts as spent. Either is called again, see
  `jaxkd/teachers/remote/README.md`.

  Args:
    function: maps uint8 images `[N, H, W, C]` to labels `[N]` or scores
      `[N, K]`; it may be called from `queries.max_in_flight` threads at once.
    access: `label` (scores give the likeliest class), `probs` or `logits`.
    num_classes: K.
    output: as in `BlackBoxFunction`.
    output_kind: as in `BlackBoxFunction`.

  Raises:
    JaxkdError: for a value that is not allowed.
  """
  if not callable(function):
    raise JaxkdError(
      f"black_box: {function!r} is not a function; pass one that maps uint8 "
      "images [N, H, W, C] to labels or scores."
    )
  _require_plain("black_box", function)
  checks.choice("access of black_box", access, ACCESS)
  try:
    count = operator.index(num_classes)
  except TypeError:
    count = 0
  if count < 2:
    raise JaxkdError(
      f"black_box: num_classes={num_classes!r}: choose an integer from 2 on."
    )
  checks.choice("output_kind of black_box", output_kind, ("", *OUTPUT_KINDS))
  return BlackBoxFunction(function, access, count, str(output), output_kind)


def _require_plain(name: str, function: Callable[..., object]) -> None:
  """Checks a function before it is called, as each call may cost money."""
  if inspect.iscoroutinefunction(function):
    raise JaxkdError(
      f"{name}: the function is a coroutine; give a plain one, which may call "
      "asyncio.run."
    )
  try:
    inspect.signature(function).bind("images")
  except TypeError as error:
    raise JaxkdError(
      f"{name}: the function can't be called with images alone: {error}."
    ) from None
  except ValueError:
    pass  # some functions of C have no signature


def load(block: ConfigDict) -> BlackBoxFunction:
  """Imports the function that `teacher.callable` names.

  Raises:
    JaxkdError: if there is none.
  """
  function = user_code.load_function("teacher.callable", block.callable)
  _require_plain(f"teacher.callable={block.callable!r}", function)
  return BlackBoxFunction(
    function, block.access, None, block.output, block.output_kind
  )


def check(black_box: BlackBoxFunction, spec: DataSpec) -> None:
  """Checks that a function can answer the images of a data set.

  Raises:
    JaxkdError: for an access, a shape or a number of classes that do not fit.
  """
  checks.choice("teacher.access", black_box.access, ACCESS)
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"The data set {spec.name} has inputs of shape {list(spec.shape)}; a "
      "function as black box is given images [H, W, C] only."
    )
  if black_box.num_classes not in (None, spec.num_classes):
    raise JaxkdError(
      f"black_box: num_classes={black_box.num_classes}, but {spec.name} has "
      f"{spec.num_classes} classes; pass the data set that fits."
    )


class FunctionTransport:
  """Calls a function in place of a server.

  Args:
    black_box: the function.
    spec: the classes that answers are checked against.
  """

  max_images = UNLIMITED

  def __init__(self, black_box: BlackBoxFunction, spec: DataSpec):
    self._black_box = black_box
    self._response = ResponseSpec(
      black_box.access, spec.num_classes, kind=black_box.output_kind
    )

  def check(self) -> None:
    """Does nothing, because a function has no metadata."""

  def send(
    self, images: np.ndarray, *, timeout_s: float, key: str
  ) -> CheckedAnswers:
    """Calls the function; see `jaxkd.teachers.remote.transport.Transport`.

    A call can't be cut off, so `timeout_s` is up to the function.
    """
    del timeout_s, key
    try:
      result = self._black_box.function(images.copy())
    except (NotServed, KeyboardInterrupt):
      raise
    # Whatever the user's function raises; clients of clouds also raise what is
    # no Exception, as asyncio.CancelledError.
    except BaseException as error:
      raise OutcomeUnknown(_describe(error)) from error
    chosen = _choose(result, self._black_box.output)
    try:
      answers = _to_list(chosen)
    except Exception as error:  # whatever the tensors of a framework raise
      raise OutcomeUnknown(_describe(error)) from error
    if answers is None:
      raise JaxkdError(
        f"{self._black_box.name} returned a {type(chosen).__name__}, no list "
        "of answers; it must return labels [N] or scores [N, K]."
      )
    return self._response.convert(answers, len(images))

  def size(self, images: np.ndarray) -> int:
    """Returns 0, because no bytes are sent by us."""
    del images
    return 0

  def close(self) -> None:
    """Does nothing, because there are no connections of ours."""


def open_teacher(
  black_box: BlackBoxFunction,
  spec: DataSpec,
  queries: ConfigDict,
  ledger: Ledger,
) -> RemoteTeacher:
  """Returns a teacher that asks a function, under a ledger.

  Args:
    black_box: the function.
    spec: the shape and classes of the images.
    queries: the config's block of that name.
    ledger: counts the queries and holds the answers.
  """
  transport = FunctionTransport(black_box, spec)
  return RemoteTeacher.open(transport, ledger, black_box.access, queries)


def _choose(answers: object, output: str) -> object:
  """Returns the value of a dict, or of a tuple, that the user names.

  Raises:
    JaxkdError: if there is no such value, or several and none is named.
  """
  if isinstance(answers, dict):
    values = {str(key): value for key, value in answers.items()}
  elif isinstance(answers, tuple):
    names = getattr(answers, "_fields", range(len(answers)))
    values = dict(zip(map(str, names), answers, strict=True))
  else:
    return answers
  if output.isdecimal() and int(output) < len(values):
    values.setdefault(output, list(values.values())[int(output)])
  if not output and len(values) == 1:
    return next(iter(values.values()))
  if output not in values:
    raise JaxkdError(
      f"The function returned {', '.join(values)}; set teacher.output (output= "
      "of jaxkd.black_box) to the one that is the answer."
    )
  return values[output]


def _to_list(answers: object) -> list[Json] | None:
  """Converts an array, a tensor or an iterable; None for another value."""
  if hasattr(answers, "tolist"):
    answers = answers.tolist()
  elif hasattr(answers, "__array__"):
    answers = np.asarray(answers).tolist()
  elif isinstance(answers, Iterable | Sized) and not isinstance(
    answers, (str, bytes, Mapping)
  ):
    answers = list(answers)
    return [row.tolist() if hasattr(row, "tolist") else row for row in answers]
  return answers if isinstance(answers, list) else None


def _describe(error: BaseException) -> str:
  """Describes an exception with the line of the user's code that raised it."""
  # This also describes an exception whose `__str__` raises another one.
  text = traceback.format_exception_only(error)[-1].strip()
  frames = traceback.extract_tb(error.__traceback__)[1:]  # without our own
  if not frames:
    return text
  return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
