"""Words in which servers tell limits, with a status that means something else.

Examples are AWS's 400 ThrottlingException and Google's 403 rateLimitExceeded.
"""

import re

_THROTTLED = re.compile(
  r"throttl|too.?many.?requests|rate.?limit|rate.?exceeded|slow.?down"
  r"|(request|throughput|usage).?limit.?exceeded|throughput.?exceeded"
  r"|concurren.{0,30}(limit|exceed)",
  re.IGNORECASE,
)
_TOO_LARGE = re.compile(
  r"batch.{0,60}(exceed|greater|larger|more than|<=|at most|max|too)"
  r"|(exceed|max|at most|larger|more than).{0,40}batch"
  r"|(payload|body|content|message|entity|request|input)\W.{0,40}"
  r"(too (large|long|big)|larger than|exceed.{0,60}(size|byte|limit|max|\d))"
  r"|too (large|long|big).{0,20}(payload|body|content|message|request)"
  r"|too many.{0,20}(instance|image|input|sample|row|item)"
  r"|(at most|max(imum)?( of| is)?|up to|only|more than|limit of) \d+ "
  r"(instance|image|input|sample|row|item)",
  re.IGNORECASE,
)
_NOT_READY = re.compile(
  r"not.?(yet.?)?ready|warming.?up|cold.?start|has no available versions"
  r"|(model|server|service|endpoint|container|replica)\b.{0,40}"
  r"\b(loading|starting|initiali[sz]ing|waking)|scal(ed|ing).{0,20}zero"
  r"|resource.?exhausted|quota.?exceeded|exceeded.{0,20}quota"
  r"|temporarily unavailable|try again (later|in)",
  re.IGNORECASE,
)


def throttled(text: str) -> bool:
  """Returns whether a text says that requests come too fast."""
  return _THROTTLED.search(text) is not None


def too_large(text: str) -> bool:
  """Returns whether a text says that a request is too large."""
  return _TOO_LARGE.search(text) is not None


def not_ready(text: str) -> bool:
  """Returns whether a text says that a model is not ready yet."""
  return _NOT_READY.search(text) is not None
