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
  """Prints a message as one line on stderr and exits with status 2.

  Paragraphs, as of code to be copied, stay as they are.
  """
  if "\n\n" not in message:
    message = " ".join(message.split())
  print(f"jaxkd: {message}", file=sys.stderr)
  sys.exit(2)
