"""Errors that a mistake in the input causes; this module imports nothing."""

import sys
from typing import NoReturn


class JaxkdError(ValueError):
  """A mistake in the input, which the message names in one or two lines.

  Commands print the message and end with status 2.
  """


class BudgetExhausted(JaxkdError):
  """The next query would exceed the query budget, and was not sent."""


def fail(message: str) -> NoReturn:
  """Prints a message as one line on stderr and exits with status 2."""
  print(f"jaxkd: {' '.join(message.split())}", file=sys.stderr)
  sys.exit(2)
