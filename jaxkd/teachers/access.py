"""The handle through which a run reaches its teacher.

The teacher is a network in this process, a model behind HTTP, or the recorded
answers of an earlier run.
"""

from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ml_collections import ConfigDict
import numpy as np

from jaxkd.config.teacher_fields import behind_interface
from jaxkd.data import Dataset
from jaxkd.data.labels import hard_labels
from jaxkd.runtime import buckets, devices, processes
from jaxkd.runtime.files import Json, user_path
from jaxkd.runtime.metrics import read_metrics
from jaxkd.runtime.run_folder import LEDGER_NAME
from jaxkd.teachers import function_teacher
from jaxkd.teachers.answers import are_valid
from jaxkd.teachers.external import GIVEN
from jaxkd.teachers.function_teacher import BlackBoxFunction
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.ledger_state import QUERY_KINDS
from jaxkd.teachers.oracles import (
  BlackBox,
  HostOracle,
  Oracle,
  WhiteBox,
  check_access,
)
from jaxkd.teachers.remote import served_teacher
from jaxkd.teachers.replay import Replay
from jaxkd.types import Classifier, DataSpec, JaxkdError, Method

SPENT = "spent"  # in the metrics


class TeacherHandle(NamedTuple):
  """A teacher with its ledger, and with its labels of the test images.

  Attributes:
    oracle: the interface that methods get their answers from.
    config: the config of the run.
    classifier: the network itself where it is in this process, to evaluate
      students against; methods have no access to it.
    ledger: the record of the queries; None where none is counted, and on all
      processes but the first.
    test_labels: `[N]` labels that a remote or replayed teacher gave to the test
      images, -1 where its answer was not valid; None unless
      `queries.evaluate` allows it.
  """

  oracle: Oracle
  config: ConfigDict
  classifier: Classifier | None = None
  ledger: Ledger | None = None
  test_labels: np.ndarray | None = None

  @property
  def name(self) -> str:
    """The name of the teacher's network, ledger file or server."""
    if self.classifier is not None:
      return self.classifier.name
    block = self.config.teacher
    if block.callable:
      return block.callable.removeprefix(GIVEN)
    if block.replay:
      return f"replay of {Path(block.replay).name}"
    host = urlsplit(block.url).netloc
    return f"{block.model_name} at {host}" if block.model_name else host

  def charge(self, name: str, count: int) -> None:
    """Records a round's queries in advance if a black box is in this process.

    A remote teacher records each request itself.

    Raises:
      BudgetExhausted: if fewer than `count` images are left in the budget.
    """
    if self.oracle.in_process:
      with processes.raise_on_all():
        if self.ledger is not None:
          self.ledger.record_bulk(name, count)

  def spent(self) -> dict[str, int]:
    """Returns the images spent so far, for the metrics; empty if not counted.

    They show when a run goes on that its ledger is whole.
    """
    if self.ledger is None:
      return {}
    return {SPENT: self.ledger.totals().spent}

  def query_summary(self) -> dict[str, Json]:
    """Summarizes the queries of a run for its report."""
    block = self.config.queries
    summary = {
      "access": self.oracle.access,
      "budget": None,
      "spent": 0,
      "by_class": dict.fromkeys(QUERY_KINDS, 0),
      "price": 0.0,
      "price_per_1000": block.price_per_1000,
      "authorization": self.config.teacher.authorization or None,
    }
    if self.ledger is None:
      return summary
    totals = self.ledger.totals()._asdict()
    return summary | totals | {"by_class": totals.pop("by_kind")}


def check(config: ConfigDict, spec: DataSpec) -> None:
  """Checks `config.teacher` and `config.queries` before any work is done.

  Raises:
    JaxkdError: for a value that is not allowed, or fields that contradict each
      other.
  """
  block, queries = config.teacher, config.queries
  check_access(block.access, block.top_k, spec.num_classes)
  if block.access == "white_box":
    if behind_interface(block):
      raise JaxkdError(
        "teacher.access=white_box, but the teacher is behind an interface; "
        "choose label, top_k, probs or logits."
      )
  elif not block.replay and queries.budget <= 0:
    raise JaxkdError(
      f"queries.budget={queries.budget}: a black box needs a budget; set the "
      "number of images that it may be asked about, at least 1."
    )
  if block.url and not block.replay:
    served_teacher.check(spec, block)


@contextlib.contextmanager
def open_teacher(
  config: ConfigDict,
  dataset: Dataset,
  method: Method,
  workdir: Path,
  classifier: Classifier | None,
  black_box: BlackBoxFunction | None = None,
) -> Iterator[TeacherHandle]:
  """Opens the teacher that `config` describes, and closes it at the end.

  Args:
    config: the config of the run; `teacher` and `queries` are read.
    dataset: gives the shape of inputs; a remote or replayed teacher labels its
      test images if `queries.evaluate` allows it.
    method: the method that will ask.
    workdir: the folder of the ledger.
    classifier: the network, where it is in this process.
    black_box: the function that answers, if the teacher is one.

  Raises:
    JaxkdError: if the teacher can't be reached, or differs from its config.
  """
  block, spec = config.teacher, dataset.spec
  with contextlib.ExitStack() as stack:
    if block.replay:
      oracle = Replay(user_path(block.replay), block.access)
      labels = _ask_test_labels(oracle, config, dataset)
      yield TeacherHandle(oracle, config, test_labels=labels)
      return
    if block.url or black_box is not None:
      _refuse_bucket(workdir)
    ledger = None
    if block.access != "white_box":
      with processes.raise_on_all():
        if processes.is_primary():
          ledger = stack.enter_context(_open_ledger(config, workdir))
    if block.url or black_box is not None:
      if black_box is not None:
        oracle = function_teacher.open_teacher(
          black_box, spec, config.queries, ledger
        )
      else:
        oracle = served_teacher.open_teacher(
          spec, block, config.queries, ledger
        )
      stack.enter_context(contextlib.closing(oracle))
      labels = _ask_test_labels(oracle, config, dataset)
      yield TeacherHandle(oracle, config, ledger=ledger, test_labels=labels)
      return
    classifier = devices.replicate(classifier)
    oracle = local_oracle(config, spec, method, classifier)
    local = devices.to_local(classifier)
    yield TeacherHandle(oracle, config, classifier=local, ledger=ledger)


def local_oracle(
  config: ConfigDict, spec: DataSpec, method: Method, classifier: Classifier
) -> WhiteBox | BlackBox:
  """Returns the interface that `config` describes to a network of this process.

  The network's variables may be shapes.
  """
  block = config.teacher
  if block.access == "white_box":
    return WhiteBox(classifier)
  eight_bit = shows_eight_bit(block, spec, method)
  return BlackBox(classifier, block.access, block.top_k, eight_bit)


def _refuse_bucket(workdir: Path) -> None:
  if copy := buckets.find(workdir):
    raise JaxkdError(
      f"--workdir={copy.url}: a teacher behind an interface needs a workdir on "
      "a disk, because its ledger has to keep every request before it is sent; "
      "copy the folder to the bucket when the run has ended."
    )


def _open_ledger(config: ConfigDict, workdir: Path) -> Ledger:
  path = workdir / LEDGER_NAME
  ledger = Ledger(
    path,
    budget=config.queries.budget,
    price_per_1000=config.queries.price_per_1000,
  )
  metrics = read_metrics(workdir)
  known = max((record.get(SPENT, 0) for record in metrics), default=0)
  spent = ledger.totals().spent
  if spent < known:
    ledger.close()
    raise JaxkdError(
      f"{path} has {spent} images, but this run has spent {known}: the ledger "
      "was cut or replaced. Put back a copy, or choose another --workdir."
    )
  return ledger


def count_evaluation_queries(config: ConfigDict, num_test: int) -> int:
  """Counts the test images that a remote or replayed teacher is shown."""
  on_host = behind_interface(config.teacher)
  return num_test * (on_host and config.queries.evaluate)


def shows_eight_bit(block: ConfigDict, spec: DataSpec, method: Method) -> bool:
  """Returns whether the teacher of `config.teacher` is shown 8-bit images."""
  if block.access == "white_box":
    return False
  return behind_interface(block) or (
    len(spec.shape) == 3 and not method.float_pixels
  )


def _ask_test_labels(
  oracle: HostOracle, config: ConfigDict, dataset: Dataset
) -> np.ndarray | None:
  # Before all other queries, so that the budget can't run out on them.
  if not count_evaluation_queries(config, len(dataset.test_labels)):
    return None
  answers = oracle.answer(dataset.test_images, "evaluate")
  return np.where(are_valid(answers), np.asarray(hard_labels(answers)), -1)
