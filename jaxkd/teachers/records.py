"""The records of a query ledger: their text, their checksums, their sum.

Every line is a JSON object that ends with the CRC-32 of the file up to there,
so that a line that was changed, lost or moved shows.
"""

from array import array
from collections import Counter
import dataclasses
import hashlib
import json
import operator
from pathlib import Path
import re
from typing import Any, NamedTuple
import zlib

import numpy as np

from jaxkd.errors import JaxkdError

QUERY_KINDS = ("train", "evaluate", "retry")

VERSION = 1
_FIRST = b'{"record": "created", "version": '
_SEAL = ', "crc": "%08x"}\n'

Answer = int | array  # a label, or K scores as float32


def digest(image: np.ndarray) -> str:
  """Content hash of one image's shape, dtype and bytes: 32 hex digits."""
  hashed = hashlib.blake2b(digest_size=16)
  hashed.update(f"{image.shape} {image.dtype.str} ".encode())
  hashed.update(image.tobytes())
  return hashed.hexdigest()


class QueryTotals(NamedTuple):
  """Counts of images.

  Attributes:
    budget: the most that may be spent; None is no limit.
    spent: answered + unknown + in flight + booked in bulk.
    sent: put on the wire; every attempt counts.
    answered: their answers are on disk.
    unknown: sent or about to be, and nobody knows what came of it.
    refused: not served, hence given back.
    in_flight: reserved, without an end so far.
    by_kind: spent by kind of query, every kind of `KINDS`.
    price: of what is spent, in the currency of `price_per_1000`.
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


@dataclasses.dataclass
class LedgerState:
  """What records add up to; the same for the writer and for readers.

  Attributes:
    crc: checksum up to the last record.
    requests: the last request's number.
    budget: of the last session.
    price_per_1000: of the last session.
    counts: images sent, answered, unknown and refused.
    by_kind: images spent by kind.
    in_flight: kind and digests of the requests without an end.
    answers: what is known, by digest.
    booked: count and kind by name.
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
  booked: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)

  def add(self, record: dict[str, Any]) -> None:
    """Adds one record; KeyError or ValueError if it can't come next."""
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
        self.counts["answered"] += len(images)
        for image, answer in zip(images, answers, strict=True):
          # The first answer stays: it's the one that was trained on.
          self.answers.setdefault(image, _compact(answer))
      case {"record": "refused" | "unknown" as end, "request": request}:
        kind, images = self.in_flight.pop(request)
        self.counts[end] += len(images)
        if end == "refused":
          self.by_kind[kind] -= len(images)
      case {"record": "booked", "name": name, "count": count, "kind": kind}:
        self.booked[name] = count, kind
        self.by_kind[kind] += count
      case _:
        raise ValueError(record)

  def totals(self) -> QueryTotals:
    """The counts for people."""
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
        for name in ("sent", "answered", "unknown", "refused")
      },
    )


def to_json(answer: Any) -> int | list[float]:
  """A label or scores, as JSON has them: a double holds a float32 exactly, and
  is written exactly.
  """
  try:
    return operator.index(answer)
  except TypeError:
    return [float(score) for score in answer]


def _compact(answer: int | list[float]) -> Answer:
  # Millions of answers are held, and a Python float takes 32 bytes.
  return answer if isinstance(answer, int) else array("f", answer)


def redact_url(reason: str) -> str:
  """One short line without the user and password of a URL.

  >>> redact_url("connection to https://me:secret@host/v2 lost")
  'connection to https://host/v2 lost'
  """
  line = " ".join(reason.split())
  return re.sub(r"//[^/\s]*@", "//", line)[:200]


def add_checksum(body: bytes, crc: int) -> tuple[bytes, int]:
  """A line, and the checksum of the file up to it.

  Args:
    body: a record in JSON without its last brace.
    crc: the checksum up to the line before; 0 for the first.
  """
  crc = zlib.crc32(body, crc)
  return body + (_SEAL % crc).encode(), crc


def read_ledger(path: Path) -> tuple[LedgerState, int]:
  """What a ledger adds up to, and the bytes of its complete records.

  Only the last record may be torn: without its end, or with zeros where a
  page never reached the disk. Nobody was told that it was written.

  Raises:
    JaxkdError: if the file is no ledger, or is damaged.
    OSError: if it can't be read.
  """
  tally, length = LedgerState(), 0
  with path.open("rb") as file:
    for number, line in enumerate(file, 1):
      if number == 1 and not line.startswith(_FIRST[: len(line)]):
        raise JaxkdError(f"{path} is not a query ledger: see its line 1.")
      sealed, crc = add_checksum(line[: -len(_SEAL % 0)], tally.crc)
      if sealed == line:
        _add(tally, line, path, number)
        tally.crc, length = crc, length + len(line)
      elif not line.endswith(b"\n") or (b"\0" in line and not file.peek(1)):
        break
      else:
        raise JaxkdError(
          f"The query ledger {path} is damaged in line {number}; put back a "
          "copy, or start a new run."
        )
  return tally, length


def _add(tally: LedgerState, line: bytes, path: Path, number: int) -> None:
  record = json.loads(line)
  version = record.get("version", VERSION)
  if version != VERSION:
    raise JaxkdError(
      f"The query ledger {path} has version {version}; this jaxkd knows "
      f"version {VERSION}. Use the jaxkd that wrote it."
    )
  try:
    tally.add(record)
  except (KeyError, ValueError) as error:
    raise JaxkdError(
      f"The query ledger {path} is damaged: line {number} does not follow "
      "from the lines before; put back a copy, or start a new run."
    ) from error
