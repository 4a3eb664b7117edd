"""The outcomes of a request: what each costs, and what is done next.

`OUTCOMES` is the one place that decides it; README.md shows the same table.
Nothing is free unless the server, or the standard (RFC 9110), says that no work
was done. 429 and 503 are free by convention.
"""

from collections.abc import Collection, Mapping
import enum
from typing import NamedTuple

import httpx

from jaxkd.teachers.remote import words

MAX_REDIRECTS = 5  # that one request follows


class Cost(enum.StrEnum):
  """Whether a server may bill a request."""

  FREE = "free"  # the ledger says `refused`
  SPENT = "spent"  # the ledger says `answered`
  UNKNOWN = "unknown, so spent"  # the ledger says `unknown`


class Next(enum.StrEnum):
  """What is done after a request, and how often."""

  USE = "the answers are used"
  USE_VALID = (
    "the valid ones are used, the other images left out and not asked about "
    "again"
  )
  AGAIN_IF_FREE = "tried again, until `queries.deadline_s`"
  AGAIN = (
    "tried again, until `queries.deadline_s` or `queries.max_unanswered` in a "
    "row"
  )
  HALVE = "sent in halves, and later requests are that small"
  HALVE_AGAIN = (
    "sent in halves, and later requests are that small, until "
    "`queries.max_unanswered` in a row"
  )
  MOVE = f"sent to the new address, at most {MAX_REDIRECTS} times"
  END = "the run ends"


class Outcome(NamedTuple):
  """One row of the table.

  Attributes:
    name: how code refers to the row.
    event: what happened, in words.
    cost: whether the images count as spent.
    then: what is done next.
    statuses: the statuses that mean it, where a status alone does.
    exceptions: the exceptions of the HTTP client that mean it.
  """

  name: str
  event: str
  cost: Cost
  then: Next
  statuses: Collection[int] = ()
  exceptions: tuple[type[Exception], ...] = ()


OUTCOMES = (
  Outcome("answered", "200 to 299 with valid answers", Cost.SPENT, Next.USE),
  Outcome(
    "partly_wrong",
    "200 to 299, and some answers are not valid: NaN, no class, too few scores",
    Cost.SPENT,
    Next.USE_VALID,
  ),
  Outcome(
    "cut", "200 to 299, and the reply is cut short", Cost.UNKNOWN, Next.AGAIN
  ),
  Outcome(
    "answered_busy",
    "200 to 299 with an error in place of answers, in words for a rate limit "
    "or for a model that is not ready",
    Cost.UNKNOWN,
    Next.AGAIN,
  ),
  Outcome(
    "wrong",
    "200 to 299, and the reply does not hold one answer for each image",
    Cost.UNKNOWN,
    Next.END,
    range(200, 300),
  ),
  Outcome(
    "no_connection",
    "no connection: no such host, refused, not open in time, or a proxy that "
    "does not reach the server",
    Cost.FREE,
    Next.AGAIN_IF_FREE,
    exceptions=(
      httpx.ConnectError,
      httpx.ConnectTimeout,
      httpx.PoolTimeout,
      httpx.ProxyError,
      httpx.UnsupportedProtocol,
    ),
  ),
  Outcome(
    "certificate", "a certificate that is not valid", Cost.FREE, Next.END
  ),
  Outcome(
    "lost",
    "no whole reply: a timeout, a lost connection, bytes that are not HTTP",
    Cost.UNKNOWN,
    Next.AGAIN,
    exceptions=(httpx.HTTPError,),
  ),
  Outcome(
    "busy",
    "425, 429 or 503",
    Cost.FREE,
    Next.AGAIN_IF_FREE,
    (425, 429, 503),
  ),
  Outcome(
    "says_busy",
    "400 to 499 but 408, with words for a rate limit or for a model that is "
    "not ready, such as `ThrottlingException` or `is not ready`",
    Cost.FREE,
    Next.AGAIN_IF_FREE,
  ),
  Outcome(
    "too_large",
    "413; or 400 to 499 but 408, with words for a request that is too large, "
    "such as `exceeds the maximum batch size`",
    Cost.FREE,
    Next.HALVE,
    (413,),
  ),
  Outcome(
    "failed_too_large",
    "500 and up, or 200 to 299 with an error in place of answers, in words for "
    "a request that is too large",
    Cost.UNKNOWN,
    Next.HALVE_AGAIN,
  ),
  Outcome(
    "moved",
    "307 or 308 to the same server; 301 or 302, where metadata are read",
    Cost.FREE,
    Next.MOVE,
  ),
  Outcome(
    "moved_away",
    "301, 302, 307 or 308 in any other case",
    Cost.FREE,
    Next.END,
    (301, 302, 307, 308),
  ),
  Outcome(
    "refused",
    "401, 403, 404, 405, 407, 411, 414, 415, 421, 426 or 431",
    Cost.FREE,
    Next.END,
    (401, 403, 404, 405, 407, 411, 414, 415, 421, 426, 431),
  ),
  Outcome("not_implemented", "501 or 505", Cost.UNKNOWN, Next.END, (501, 505)),
  Outcome(
    "failed",
    "408, or any other status from 500 up",
    Cost.UNKNOWN,
    Next.AGAIN,
    (408, *range(500, 1000)),
  ),
  Outcome(
    "other",
    "any other status, 303 and 400 among them",
    Cost.UNKNOWN,
    Next.END,
    range(1000),
  ),
  Outcome(
    "not_served",
    "a function raises `jaxkd.NotServed`",
    Cost.FREE,
    Next.AGAIN_IF_FREE,
  ),
  Outcome(
    "raised",
    "a function raises any other exception",
    Cost.UNKNOWN,
    Next.AGAIN,
  ),
  Outcome(
    "interrupted",
    "the run was interrupted or killed while it waited",
    Cost.UNKNOWN,
    Next.END,
  ),
)
_BY_NAME = {outcome.name: outcome for outcome in OUTCOMES}

_IN_WORDS = frozenset(range(400, 500)) - {408, 425, 429}
_ERROR_TYPES = ("x-amzn-errortype", "x-error-type")  # headers with such words


def get(name: str) -> Outcome:
  """Returns the row of this name."""
  return _BY_NAME[name]


def of_status(
  status: int, body: str = "", headers: Mapping[str, str] | None = None
) -> Outcome:
  """Returns the row of a reply whose answers were not read, or not valid.

  Args:
    status: the reply's status.
    body: its text, as far as it arrived.
    headers: its headers.

  >>> of_status(503).name
  'busy'
  >>> of_status(400, '{"__type": "ThrottlingException"}').name
  'says_busy'
  """
  if status in _IN_WORDS:
    types = [(headers or {}).get(name, "") for name in _ERROR_TYPES]
    text = " ".join([*types, body])
    if words.throttled(text):
      return get("says_busy")
    if words.too_large(text):
      return get("too_large")
    if words.not_ready(text):
      return get("says_busy")
  outcome = next(row for row in OUTCOMES if status in row.statuses)
  if status >= 500 and outcome.name == "failed" and words.too_large(body):
    return get("failed_too_large")
  return outcome


def of_exception(error: httpx.HTTPError) -> Outcome:
  """Returns the row of an exception of the HTTP client."""
  if "CERTIFICATE_VERIFY_FAILED" in str(error):
    return get("certificate")
  return next(row for row in OUTCOMES if isinstance(error, row.exceptions))


def markdown() -> str:
  """Writes the table as README.md shows it."""
  lines = ["| what happens | cost | then |", "|---|---|---|"]
  lines += [f"| {row.event} | {row.cost} | {row.then} |" for row in OUTCOMES]
  return "\n".join(lines)
