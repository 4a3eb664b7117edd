"""The command that prints the totals of a query ledger."""

import argparse
from collections.abc import Iterable, Sequence
import os
from pathlib import Path

from jaxkd.errors import JaxkdError, fail
from jaxkd.teachers.ledger_state import QueryTotals
from jaxkd.teachers.records import read_ledger


def read_totals(path: str | os.PathLike[str]) -> QueryTotals:
  """Reads the totals of a ledger, also while a run writes it.

  Raises:
    JaxkdError: if the file can't be read, is not a ledger, or is damaged.
  """
  try:
    return read_ledger(Path(path))[0].totals()
  except OSError as error:
    raise JaxkdError(
      f"The query ledger {path} can't be read ({error.strerror}); name the "
      "ledger.jsonl in the workdir of a run."
    ) from error


def _lines(path: str, totals: QueryTotals) -> Iterable[str]:
  in_bulk = totals.spent - totals.answered - totals.wrong
  in_bulk -= totals.unknown + totals.in_flight
  limited = totals.budget is not None
  yield f"query ledger {path}, numbers of images"
  for name, value in {
    "budget": totals.budget if limited else "none",
    "spent": totals.spent,
    **{f"  {kind}": count for kind, count in totals.by_kind.items()},
    "left": totals.budget - totals.spent if limited else "-",
    "answered": totals.answered,
    **({"wrong": totals.wrong} if totals.wrong else {}),
    "in bulk": in_bulk,
    "unknown": totals.unknown,
    "in flight": totals.in_flight,
    "refused": totals.refused,
    "sent": totals.sent,
    "price": f"{totals.price:.2f}",
  }.items():
    yield f"{name:12}{value:>12}"


def main(argv: Sequence[str] | None = None) -> None:
  """Prints the totals of a ledger; an error ends the process with status 2."""
  parser = argparse.ArgumentParser(
    prog="python -m jaxkd.teachers.ledger",
    description="Prints the totals of a query ledger.",
  )
  parser.add_argument("file", metavar="FILE")
  path = parser.parse_args(argv).file
  try:
    print("\n".join(_lines(path, read_totals(path))))
  except JaxkdError as error:
    fail(str(error))
