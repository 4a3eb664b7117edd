"""What goes wrong by the user's hand; needs nothing but Python."""


class JaxkdError(ValueError):
  """A mistake in the input, said in one or two lines; exit status 2."""


class BudgetExhausted(JaxkdError):
  """The next query would exceed the budget; nothing was sent."""
