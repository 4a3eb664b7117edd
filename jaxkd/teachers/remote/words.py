"""Words by which servers report limits under a status that means another thing.

Examples are AWS's 400 ThrottlingException and Google's 403 rateLimitExceeded.
A request with such a reply is free, so the words are only those by which a
server says that it did no work.
"""

import re

_ITEMS = r"(instance|image|input|sample|row|item|element|record|example)"
_PER_TIME = r"per.?(second|minute|hour|day|s\b)"
_THROTTLED = re.compile(
  r"throttl|too.?many.{0,20}requests|rate.?limit|rate.?exceeded|slow.?down"
  r"|(request|throughput|usage|quota|concurren\w*).?limit.?(exceeded|reached)"
  r"|throughput.?exceeded|concurren.{0,30}(limit|exceed)"
  r"|limit.?exceeded.?exception|\b(qps|rps|rpm|tpm)\b.{0,20}(limit|exceed)"
  rf"|{_PER_TIME}.{{0,20}}(limit|exceed)|exceed.{{0,40}}{_PER_TIME}"
  r"|(server|service|system)\b.{0,20}\b(busy|overloaded)|over.?capacity"
  r"|queue.{0,10}\bfull\b|exceed.{0,20}queue|capacity.?exceeded",
  re.IGNORECASE,
)
_TOO_LARGE = re.compile(
  r"batch.{0,60}(exceed|greater than|larger than|more than \d|<=|at most|max"
  r"|too (large|long|big))"
  r"|(exceed|max|at most|larger than|more than \d).{0,40}batch"
  r"|expected.{0,10}batch\b.{0,8}\b1\b"
  r"|(payload|body|content|message|entity|request|input)\W.{0,40}"
  r"(too (large|long|big)|larger than|exceed.{0,60}(size|byte|limit|max|\d))"
  r"|(payload|body|content|entity).?(length)?.?(too.?(large|long|big)|exceeded)"
  r"|body\W.{0,90}(less|smaller) than|smaller than \d+ bytes"
  r"|max(imum)? (request|payload|body|content|message)"
  r"|too (large|long|big).{0,20}(payload|body|content|message|request)"
  rf"|too many.{{0,20}}{_ITEMS}|max(imum)? number of {_ITEMS}|max.?items"
  rf"|number of {_ITEMS}s?\b.{{0,30}}(exceed|limit|max)"
  r"|(at most|max(imum)?( of| is)?|up to|only|more than|limit of) \d+ "
  rf"{_ITEMS}|\b(one|single) {_ITEMS} (only|per|at a time)",
  re.IGNORECASE,
)
_NOT_READY = re.compile(
  r"not.?(yet.?)?ready|warming.?up|waking|cold.?start|has no available versions"
  r"|\b(is|are|being|still|currently)\W"
  r"(loading|loaded|start(ing|ed)|initiali[sz](ing|ed)|resum(ing|ed)|deploying)"
  r"|\b(starting|spinning) up\b|^\W*loading (the )?model"
  r"|scal(ed|ing).{0,20}zero"
  r"|resource.?exhausted(?!.*(out of memory|\boom\b))"
  r"|quota.?exceeded|exceeded.{0,20}quota|\bunavailable|service.?unavailable"
  r"|no healthy upstream|no workers? (available )?to serve"
  r"|(re)?try again (later|in|soon)|retry (later|in \d|after \d)"
  r"|try later|(endpoint|model|service) is paused",
  re.IGNORECASE | re.DOTALL,
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
