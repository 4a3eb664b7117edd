"""The state that the records of a query ledger add up to."""

from collections import Counter
import dataclasses
from pathlib import Path
from typing import NamedTuple

from jaxkd.errors import BudgetExhausted, JaxkdError
from jaxkd.teachers.answers import Answer, compact

QUERY_KINDS = ("train", "evaluate", "retry")
ENDED = "the run ended"  # why a request is unknown that was under way then


class QueryTotals(NamedTuple):
  """The numbers of images in each state, and their price.

  Attributes:
    budget: the limit of `spent`; None is no limit.
    spent: answered + wrong + unknown + in flight + recorded in bulk.
    sent: images that left this machine; every attempt counts.
    answered: images whose answers are on disk.
    unknown: images that may have been received, without a reply.
    refused: images that the server did not serve; they are not spent.
    in_flight: images of requests that have not ended.
    by_kind: spent images by kind of query, for all of `QUERY_KINDS`.
    price: the price of `spent`, in the currency of `price_per_1000`.
    wrong: images whose answers were not valid.
    renormalised: answers that were probabilities and did not sum to 1.
  """

  budget: int | None
  spent: int
  sent: int
  answered: int
  unknown: int
  refused: int
  in_flight: int
  by_kind: dict[str, int]
  price: float
  wrong: int = 0
  renormalised: int = 0


class Unanswered(NamedTuple):
  """The requests since the last answer that may have been billed for nothing.

  Attributes:
    requests: their number, without those that a run ended under.
    images: the images in them.
    reason: why the last of them has no answer.
  """

  requests: int = 0
  images: int = 0
  reason: str = ""


@dataclasses.dataclass
class LedgerState:
  """The state that a ledger's records add up to, for writer and readers alike.

  Attributes:
    crc: the checksum of the file up to its last record.
    requests: the last request's number.
    budget: the budget of the last session.
    price_per_1000: the price of 1000 images in the last session.
    counts: images sent, answered, wrong, unknown, refused and renormalised.
    by_kind: images spent by kind of query.
    in_flight: kind and digests of each request that has not ended.
    answers: the first answer to each image, by digest.
    wrong: digests of images whose answers were not valid.
    bulk: count and kind of each record in bulk, by name.
    unanswered: the requests since the last answer that gave nothing.
  """

  crc: int = 0
  requests: int = 0
  budget: int | None = None
  price_per_1000: float = 0.0
  counts: Counter = dataclasses.field(default_factory=Counter)
  by_kind: Counter = dataclasses.field(default_factory=Counter)
  in_flight: dict[int, tuple[str, list[str]]] = dataclasses.field(
    default_factory=dict
  )
  answers: dict[str, Answer] = dataclasses.field(default_factory=dict)
  wrong: set[str] = dataclasses.field(default_factory=set)
  bulk: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
  unanswered: Unanswered = Unanswered()

  def add(self, record: dict[str, object]) -> None:
    """Applies one record.

    Raises:
      KeyError, ValueError: if the record can't follow those before it.
    """
    match record:
      case {"record": "created", "version": _}:
        pass
      case {"record": "opened", "budget": budget, "price_per_1000": price}:
        self.budget, self.price_per_1000 = budget, price
      case {"record": "reserved", "request": request, "kind": kind}:
        self.requests = request
        self.in_flight[request] = kind, record["images"]
        self.by_kind[kind] += len(record["images"])
      case {"record": "sent", "request": request}:
        self.counts["sent"] += len(self.in_flight[request][1])
      case {"record": "answered", "request": request, "answers": answers}:
        _, images = self.in_flight.pop(request)
        for image, answer in zip(images, answers, strict=True):
          # The first answer stays: it's the one that was trained on.
          if answer is not None:
            self.answers.setdefault(image, compact(answer))
        lost = {
          image
          for image, answer in zip(images, answers, strict=True)
          if answer is None
        }
        self.wrong = (self.wrong | lost) - self.answers.keys()
        self.counts["wrong"] += len(lost)
        self.counts["answered"] += len(images) - len(lost)
        self.counts["renormalised"] += record.get("renormalised", 0)
        if len(lost) < len(images):
          self.unanswered = Unanswered()
        else:
          self._add_unanswered(len(images), record["reason"])
      case {"record": "refused" | "unknown" as end, "request": request}:
        kind, images = self.in_flight.pop(request)
        self.counts[end] += len(images)
        if end == "refused":
          self.by_kind[kind] -= len(images)
        elif record["reason"] != ENDED:
          self._add_unanswered(len(images), record["reason"])
      case {"record": "booked", "name": name, "count": count, "kind": kind}:
        self.bulk[name] = count, kind
        self.by_kind[kind] += count
      case _:
        raise ValueError(record)

  def _add_unanswered(self, images: int, reason: str) -> None:
    before = self.unanswered
    self.unanswered = Unanswered(
      before.requests + 1, before.images + images, reason
    )

  def check_budget(self, count: int, kind: str, path: Path) -> None:
    """Checks that `count` more images may be spent.

    Raises:
      BudgetExhausted: if fewer images are left.
      JaxkdError: for a negative count or an unknown kind of query.
    """
    if kind not in QUERY_KINDS:
      raise JaxkdError(
        f"The kind of query {kind!r} is unknown; choose one of "
        f"{', '.join(QUERY_KINDS)}."
      )
    if count < 0:
      raise JaxkdError(f"count={count}: it must be 0 or more.")
    spent = self.totals().spent
    if self.budget is not None and spent + count > self.budget:
      raise BudgetExhausted(
        f"The query budget is exhausted: {count} images are to be asked, but "
        f"{self.budget - spent} of queries.budget={self.budget} are left "
        f"(ledger {path}). Raise the budget to continue, unless "
        "synthesis.num_rounds is 0: then the budget sets the number of rounds, "
        "and a larger one needs a new workdir."
      )

  def totals(self) -> QueryTotals:
    """Sums the state up to numbers of images and their price."""
    by_kind = {kind: self.by_kind[kind] for kind in QUERY_KINDS}
    spent = sum(by_kind.values())
    return QueryTotals(
      budget=self.budget,
      spent=spent,
      in_flight=sum(len(images) for _, images in self.in_flight.values()),
      by_kind=by_kind,
      price=spent / 1000 * self.price_per_1000,
      **{
        name: self.counts[name]
        for name in (
          "sent",
          "answered",
          "wrong",
          "unknown",
          "refused",
          "renormalised",
        )
      },
    )
