"""How a run reaches its teacher: in process or remote, paid or not."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from jaxkd import parallel
from jaxkd.objectives import hard_labels
from jaxkd.teachers.black_box import BlackBox
from jaxkd.teachers.ledger import KINDS, Ledger
from jaxkd.teachers.white_box import WhiteBox
from jaxkd.types import Classifier, DataSpec, JaxkdError, Method

LEDGER_NAME = "ledger.jsonl"


class Access(NamedTuple):
  """A teacher as the pipeline holds it.

  Attributes:
    asked: what methods get their answers from.
    owner: the network itself where it is ours, to judge students by; no method
      sees it through this.
    ledger: of the queries; None where none is counted.
    config: of the run.
  """

  asked: Any
  owner: Classifier | None
  ledger: Ledger | None
  config: Any

  @property
  def name(self) -> str:
    """Of the teacher, for people."""
    if self.owner is not None:
      return self.owner.name
    block = self.config.teacher
    return (
      f"{block.model_name} at {urlsplit(block.url).netloc}" * bool(block.url)
      or f"replay of {Path(block.replay).name}"
    )

  def labels(self, images: np.ndarray, kind: str) -> np.ndarray:
    """The classes that a remote teacher gives to images, counted as `kind`."""
    return np.asarray(hard_labels(self.asked.answer(images, kind)))

  def pay(self, name: str, count: int) -> None:
    """Books a round in advance, where a teacher in process has a budget.

    Raises:
      BudgetExhausted: if the budget does not pay for it.
    """
    if self.ledger is not None and self.asked.in_process:
      self.ledger.book(name, count)

  def account(self) -> dict[str, Any]:
    """The queries of a run, for the report."""
    block = self.config.queries
    found = {
      "access": self.asked.access,
      "budget": None,
      "spent": 0,
      "by_class": dict.fromkeys(KINDS, 0),
      "price": 0.0,
      "price_per_1000": block.price_per_1000,
      "authorization": self.config.teacher.authorization or None,
    }
    if self.ledger is None:
      return found
    totals = self.ledger.totals()._asdict()
    return found | totals | {"by_class": totals.pop("by_kind")}


@contextlib.contextmanager
def opened(
  config, spec: DataSpec, method: Method, workdir: Path, classifier_of: Any
) -> Iterator[Access]:
  """The teacher of `config`.

  Args:
    config: of the run; `teacher` and `queries` are read.
    spec: of the inputs.
    method: that will ask.
    workdir: where the ledger is.
    classifier_of: gives the network, where the teacher is ours.

  Raises:
    JaxkdError: for an access level, an address or a budget that can't be.
  """
  block, budget = config.teacher, config.queries.budget
  if block.access == "white_box":
    if block.url or block.replay:
      raise JaxkdError(
        "teacher.access=white_box, but the teacher is behind an interface; "
        "choose label, top_k, probs or logits."
      )
    classifier = parallel.replicate(classifier_of())
    yield Access(WhiteBox(classifier), classifier, None, config)
    return
  if block.replay:
    from jaxkd.teachers.remote import Replay

    yield Access(Replay(block.replay, block.access), None, None, config)
    return
  if budget <= 0:
    raise JaxkdError(
      f"queries.budget={budget}: a black box needs one; say how many images "
      "it may be asked about."
    )
  with Ledger(
    workdir / LEDGER_NAME,
    budget=budget,
    price_per_1000=config.queries.price_per_1000,
  ) as ledger:
    if block.url:
      from jaxkd.teachers import http

      asked = http.open_teacher(spec, block, config.queries, ledger)
      with contextlib.closing(asked):
        yield Access(asked, None, ledger, config)
      return
    classifier = parallel.replicate(classifier_of())
    eight_bit = len(spec.shape) == 3 and not method.float_pixels
    asked = BlackBox(classifier, block.access, block.top_k, eight_bit)
    yield Access(asked, classifier, ledger, config)
