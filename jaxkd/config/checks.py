"""Checks of values; a message names the field, the value, what is allowed."""

from collections.abc import Iterable
import difflib

from jaxkd.errors import JaxkdError


def positive(**fields: float) -> None:
  """Checks that all fields are above zero."""
  for name, value in fields.items():
    if not value > 0:
      raise JaxkdError(f"{name}={value}: it must be above 0.")


def not_negative(**fields: float) -> None:
  """Checks that all fields are zero or above."""
  for name, value in fields.items():
    if not value >= 0:
      raise JaxkdError(f"{name}={value}: it must be 0 or above.")


def at_least(name: str, value: int, least: int) -> None:
  """Checks that a value is `least` or more."""
  if value < least:
    raise JaxkdError(f"{name}={value}: choose {least} or more.")


def choice(name: str, value: str, allowed: Iterable[str]) -> None:
  """Checks that a value is one of those that are allowed."""
  allowed = tuple(allowed)
  if value not in allowed:
    raise JaxkdError(unknown(name, value, allowed))


def unknown(kind: str, value: str, allowed: Iterable[str]) -> str:
  """Returns the message for an unknown name, with the nearest ones."""
  allowed = tuple(allowed)
  near = difflib.get_close_matches(value, allowed, n=3)
  hint = f" Did you mean {', '.join(near)}?" if near else ""
  names = ", ".join(filter(None, allowed))  # empty is none, and allowed
  return f"Unknown {kind} {value!r}.{hint} Choose one of {names}."


def keys(name: str, given: Iterable[str], expected: Iterable[str]) -> None:
  """Checks that there are exactly the expected keys."""
  if set(given) != set(expected):
    raise JaxkdError(
      f"{name} has {', '.join(sorted(given))}; it must have exactly "
      f"{', '.join(expected)}."
    )


def at_most(name: str, value: int, limit: int, of_what: str) -> None:
  """Checks that a value does not exceed a count."""
  if value > limit:
    raise JaxkdError(
      f"{name}={value}: there are only {limit} {of_what}; choose {limit} or "
      "fewer."
    )


def multiple(name: str, value: int, of_name: str, of: int) -> None:
  """Checks that a value is a multiple of another field."""
  if value % of:
    below, above = value - value % of, value + of - value % of
    choices = f"{below} or {above}" if below > 0 else above
    raise JaxkdError(
      f"{name}={value} is not a multiple of {of_name}={of}; choose {choices}."
    )


def rounds_within(budget: int, cost: int, num_rounds: int) -> int:
  """Returns `num_rounds`, or if that is 0 as many as the budget pays for.

  More than it pays for is allowed: the run ends when the budget does.

  Raises:
    JaxkdError: if the budget does not pay for one round.
  """
  not_negative(num_rounds=num_rounds)
  paid = max(budget, 0) // cost
  if not (num_rounds or paid):
    raise JaxkdError(
      f"queries.budget={budget} does not pay for one round, which costs {cost} "
      "queries; raise it, or lower synthesis.batch_size."
    )
  return num_rounds or paid


def equal_rounds(count: int, most: int) -> int:
  """Returns the number of equal rounds that leave out the fewest of `count`.

  The smallest of equal ones is taken; up to twice as many are looked at as
  there must be.

  Args:
    count: in all.
    most: of a round.

  Example:
    >>> equal_rounds(count=30, most=12), equal_rounds(10, 6)
    (3, 2)
    >>> equal_rounds(count=7, most=2)  # in four rounds three are left out
    7
  """
  fewest = -(-count // most)
  return min(
    range(fewest, min(2 * fewest, count) + 1),
    key=lambda rounds: count % rounds,
  )
