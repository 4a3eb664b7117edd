"""What goes wrong by the user's hand; needs nothing but Python."""

import sys
from typing import NoReturn


class JaxkdError(ValueError):
  """A mistake in the input, said in one or two lines; exit status 2."""


class BudgetExhausted(JaxkdError):
  """The next query would exceed the budget; nothing was sent."""


def fail(message: str) -> NoReturn:
  """Ends the process with status 2 and one line on stderr."""
  print(f"jaxkd: {' '.join(message.split())}", file=sys.stderr)
  sys.exit(2)
