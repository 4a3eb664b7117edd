"""How a run reaches its teacher: in process or remote, paid or not."""

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from jaxkd.config import checks
from jaxkd.data import Dataset
from jaxkd.data.labels import hard_labels
from jaxkd.runtime import devices, processes
from jaxkd.teachers import black_box
from jaxkd.teachers.black_box import BlackBox
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.records import QUERY_KINDS
from jaxkd.teachers.white_box import WhiteBox
from jaxkd.types import Classifier, DataSpec, JaxkdError, Method

LEDGER_NAME = "ledger.jsonl"


class TeacherHandle(NamedTuple):
  """A teacher as the pipeline holds it.

  Attributes:
    asked: what methods get their answers from.
    config: of the run.
    owner: the network itself where it is ours, to judge students by; no method
      sees it through this.
    ledger: of the queries; None where none is counted, and on all processes
      but the first.
    answers: labels that a paid teacher gave to the test images, if allowed.
  """

  asked: Any
  config: Any
  owner: Classifier | None = None
  ledger: Ledger | None = None
  answers: np.ndarray | None = None

  @property
  def name(self) -> str:
    """Of the teacher, for people."""
    if self.owner is not None:
      return self.owner.name
    block = self.config.teacher
    if block.replay:
      return f"replay of {Path(block.replay).name}"
    host = urlsplit(block.url).netloc
    return f"{block.model_name} at {host}" if block.model_name else host

  def pay(self, name: str, count: int) -> None:
    """Books a round in advance, where a teacher in process has a budget.

    Raises:
      BudgetExhausted: if the budget does not pay for it.
    """
    if self.asked.in_process:
      with processes.raise_on_all():
        if self.ledger is not None:
          self.ledger.book(name, count)

  def account(self) -> dict[str, Any]:
    """The queries of a run, for the report."""
    block = self.config.queries
    found = {
      "access": self.asked.access,
      "budget": None,
      "spent": 0,
      "by_class": dict.fromkeys(QUERY_KINDS, 0),
      "price": 0.0,
      "price_per_1000": block.price_per_1000,
      "authorization": self.config.teacher.authorization or None,
    }
    if self.ledger is None:
      return found
    totals = self.ledger.totals()._asdict()
    return found | totals | {"by_class": totals.pop("by_kind")}


def check(config, spec: DataSpec) -> None:
  """Refuses what can't be of `config.teacher` and `config.queries`, before a
  folder is claimed or anything is sent.

  Raises:
    JaxkdError: naming the field.
  """
  block, queries = config.teacher, config.queries
  black_box.check(block.access, block.top_k, spec.num_classes)
  checks.not_negative(**{"queries.price_per_1000": queries.price_per_1000})
  for share in queries.marks:
    if not (isinstance(share, (int, float)) and 0 < share <= 1):
      raise JaxkdError(
        f"queries.marks={tuple(queries.marks)}: choose shares of the budget, "
        "above 0 and up to 1."
      )
  if block.access == "white_box":
    if block.url or block.replay:
      raise JaxkdError(
        "teacher.access=white_box, but the teacher is behind an interface; "
        "choose label, top_k, probs or logits."
      )
  elif not block.replay and queries.budget <= 0:
    raise JaxkdError(
      f"queries.budget={queries.budget}: a black box needs one; say how many "
      "images it may be asked about."
    )
  if block.url and not block.replay:
    from jaxkd.teachers.remote import http

    http.check(spec, block)


@contextlib.contextmanager
def open_teacher(
  config,
  dataset: Dataset,
  method: Method,
  workdir: Path,
  classifier_of: Callable[[], Classifier],
) -> Iterator[TeacherHandle]:
  """The teacher of `config`.

  Args:
    config: of the run; `teacher` and `queries` are read.
    dataset: what inputs look like; a paid teacher answers its test images if
      `queries.evaluate` allows it.
    method: that will ask.
    workdir: where the ledger is.
    classifier_of: gives the network, where the teacher is ours.

  Raises:
    JaxkdError: if the teacher can't be reached, or is not as described.
  """
  block, spec = config.teacher, dataset.spec
  with contextlib.ExitStack() as stack:
    if block.access == "white_box":
      classifier = devices.replicate(classifier_of())
      own = devices.to_local(classifier)
      yield TeacherHandle(WhiteBox(classifier), config, owner=own)
      return
    if block.replay:
      from jaxkd.teachers.replay import Replay

      asked = Replay(block.replay, block.access)
      answers = _test_answers(asked, config, dataset)
      yield TeacherHandle(asked, config, answers=answers)
      return
    with processes.raise_on_all():
      ledger = _ledger(config, workdir) if processes.is_primary() else None
    if ledger is not None:
      stack.enter_context(ledger)
    if block.url:
      from jaxkd.teachers.remote import http

      asked = http.open_teacher(spec, block, config.queries, ledger)
      stack.enter_context(contextlib.closing(asked))
      answers = _test_answers(asked, config, dataset)
      yield TeacherHandle(asked, config, ledger=ledger, answers=answers)
      return
    classifier = devices.replicate(classifier_of())
    eight_bit = len(spec.shape) == 3 and not method.float_pixels
    asked = BlackBox(classifier, block.access, block.top_k, eight_bit)
    own = devices.to_local(classifier)
    yield TeacherHandle(asked, config, owner=own, ledger=ledger)


def _ledger(config, workdir: Path) -> Ledger:
  return Ledger(
    workdir / LEDGER_NAME,
    budget=config.queries.budget,
    price_per_1000=config.queries.price_per_1000,
  )


def for_evaluation(config, dataset: Dataset) -> int:
  """Test images that a paid teacher will be shown, out of the budget."""
  paid = config.teacher.url or config.teacher.replay
  return len(dataset.test_labels) * bool(paid and config.queries.evaluate)


def _test_answers(asked: Any, config, dataset: Dataset) -> np.ndarray | None:
  """The labels that a paid teacher gives to the test images; before all else,
  so that the budget can't run out on them.
  """
  if not for_evaluation(config, dataset):
    return None
  return np.asarray(hard_labels(asked.answer(dataset.test_images, "evaluate")))
