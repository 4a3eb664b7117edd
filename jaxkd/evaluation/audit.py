"""What an audit of a black box says: how much was copied, at what price."""

from typing import Any

from jaxkd.runtime.formatting import UNKNOWN, count, percent

# Agreement with the model from which OWASP's AI Testing Guide (AITG-APP-09)
# speaks so; a convention, hence always beside the number itself.
BANDS = ((0.9, "vulnerable"), (0.75, "warning"), (0.0, "desired"))
WORDS = {
  "access": "what an answer tells",
  "authorization": "allowed by",
  "budget": "budget",
  "spent": "spent",
  "sent": "images sent, every attempt",
  "answered": "answered",
  "unknown": "outcome unknown, counted as spent",
  "refused": "refused by the server, not counted",
}


def band(agreement: float | None) -> str:
  """OWASP's word for a share of agreement.

  >>> band(0.93), band(0.9), band(0.75), band(0.2), band(None)
  ('vulnerable', 'warning', 'warning', 'desired', '–')
  """
  if agreement is None:
    return UNKNOWN
  (high, worst), (low, middle), (_, best) = BANDS
  return worst if agreement > high else middle if agreement >= low else best


def audit_sentence(report: dict[str, Any]) -> str:
  """How far the copy went, in a sentence; empty without a black box."""
  queries, agreement = report["queries"], report["student"]["agreement"]
  if queries["budget"] is None:
    return ""
  spent = f"after {count(queries['spent'])} queries"
  if agreement is None:
    return f"How far the student agrees with the teacher {spent} is not known."
  return (
    f"The student agrees with the teacher on {percent(agreement)} of the test "
    f"data {spent}: {band(agreement)} in OWASP's bands (above 90 %, 75 to "
    "90 %, below 75 %)."
  )


def query_rows(queries: dict[str, Any]) -> list[tuple[str, str]]:
  """The ledger's totals as rows of words and values."""

  def show(value: Any) -> str:
    return value if isinstance(value, str) else count(value)

  rows = [
    (words, show(queries[field]))
    for field, words in WORDS.items()
    if queries.get(field) is not None
  ]
  kinds = queries["by_class"].items()
  rows += [(f"of these for {kind}", count(number)) for kind, number in kinds]
  if queries["price_per_1000"]:
    rows.append(("price", f"{queries['price']:,.2f}"))
  return rows
