"""The headers of requests, with their secrets, and the header `Retry-After`."""

import base64
from collections.abc import Iterable, Mapping, Sequence
import datetime
import email.utils
import json
import math
import os
from pathlib import Path
import re
from urllib.parse import quote

from jaxkd.errors import JaxkdError

BEARER = "Authorization"
# Words before a token that services use in place of Bearer.
_SCHEMES = "(Bearer|Basic|Token|Api-?Key|Key)"
_NAME = r"[A-Za-z0-9_-]+"
# Where the commands and metadata servers of clouds have a token in JSON; those
# of Kubernetes have it in `status`.
_JSON_TOKENS = ("access_token", "accessToken", "id_token", "token")
_WHOLE = 1 << 30
_MAX_LENGTH = 300  # characters of a message that quotes a server
# Headers that describe a request; a token must not replace one of them.
_RESERVED = (
  "accept", "accept-encoding", "connection", "content-length", "content-type",
  "transfer-encoding", "user-agent",
)  # fmt: skip


class Token:
  """The secret that authorizes requests, if there is one.

  It is read anew for every request, as clouds renew such files in a run.

  Args:
    source: the name of an environment variable, or `file:PATH`; empty for none.
    header: the header that carries the token: after the word `Bearer` in
      `Authorization`, unless the token begins with a word such as `Basic`;
      alone in any other header.

  Raises:
    JaxkdError: if the source holds no token that fits into a header, or the
      header's name is not allowed. The message repeats neither `source` nor
      `header`, because users put the secret itself there by mistake.
  """

  def __init__(self, source: str = "", header: str = BEARER):
    reserved = (*_RESERVED, "host")
    if not re.fullmatch(_NAME, header) or header.lower() in reserved:
      raise JaxkdError(
        "teacher.template.header must be Authorization or the name of a header "
        "that carries the token alone, such as x-api-key."
      )
    self._source, self._header = source, header
    self._is_bearer = header.lower() == BEARER.lower()
    self._tokens: list[str] = []  # all that were read, the newest last
    if source and not self._read():
      raise JaxkdError(
        "teacher.token_env must name an environment variable that is set, or "
        "file:PATH; the token must be 4 or more visible ASCII characters."
      )

  def headers(self) -> dict[str, str]:
    """Returns the header that carries the token, or no header."""
    if not self._source:
      return {}
    self._read()
    token = self._tokens[-1]
    word = "Bearer " if self._is_bearer and " " not in token else ""
    return {self._header: word + token}

  def redact(self, text: str) -> str:
    """Shortens a server's text to one line without the token."""
    return _redact(text, [token.rpartition(" ")[2] for token in self._tokens])

  def _read(self) -> bool:
    """Reads the token; returns whether there is one that can be sent."""
    token = _read(self._source)
    scheme = rf"({_SCHEMES} )?" if self._is_bearer else ""
    if not re.fullmatch(rf"{scheme}[!-~]{{4,}}", token, re.IGNORECASE):
      return False
    if token not in self._tokens:
      self._tokens.append(token)
    return True


class RequestHeaders:
  """The headers that go with every request: the token's, and further ones.

  Args:
    token: the secret that authorizes requests.
    further: `Name: value`, where the value may be `env:VARIABLE` or
      `file:PATH`, which are read anew for every request.

  Raises:
    JaxkdError: for a header that can't be sent; its value is not repeated.
  """

  def __init__(self, token: Token, further: Sequence[str] = ()):
    self._token = token
    self._further: dict[str, str] = {}
    self._secrets: set[str] = set()
    self._last: dict[str, str] = {}  # values that were read, by header
    for line in further:
      name, colon, value = (part.strip() for part in line.partition(":"))
      if not colon or not re.fullmatch(_NAME, name):
        raise JaxkdError(
          f"teacher.headers: {name[:40]!r} is not the name of a header; write "
          "'Name: value', 'Name: env:VARIABLE' or 'Name: file:PATH'."
        )
      if name.lower() in _RESERVED:
        raise JaxkdError(
          f"teacher.headers: {name} is set by the protocol; leave it out."
        )
      self._further[name] = value
    self.headers()

  def headers(self) -> dict[str, str]:
    """Returns all headers, with the values that they have now."""
    return self._token.headers() | {
      name: self._value(name, source) for name, source in self._further.items()
    }

  def redact(self, text: str) -> str:
    """Shortens a server's text to one line without the secrets."""
    return self._token.redact(_redact(text, self._secrets, _WHOLE))

  def _value(self, name: str, source: str) -> str:
    value = source
    if source.startswith(("env:", "file:")):
      # A file may be missing for a moment while it is renewed.
      value = _read(source.removeprefix("env:")) or self._last.get(name, "")
      if not value:
        raise JaxkdError(
          f"teacher.headers: the value of {name} is to come from {source}, "
          "which is not set or can't be read."
        )
      self._last[name] = value
      self._secrets.add(value)
    if not re.fullmatch(r"[ -~]+", value):
      raise JaxkdError(
        f"teacher.headers: the value of {name} must be visible characters of "
        "ASCII."
      )
    return value


def retry_after_s(headers: Mapping[str, str]) -> float | None:
  """Reads the seconds that a server asks to wait; None if it doesn't.

  It reads `Retry-After` as a number or a date (RFC 9110, 10.2.3), and
  `retry-after-ms`.

  >>> retry_after_s({"retry-after": "120"})
  120.0
  >>> retry_after_s({"retry-after-ms": "250"})
  0.25
  """
  for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
    try:
      seconds = float(headers.get(name, "")) * unit
    except ValueError:
      continue
    if math.isfinite(seconds):
      return max(seconds, 0.0)
  try:
    date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
  except ValueError:
    return None
  if date.tzinfo is None:
    date = date.replace(tzinfo=datetime.UTC)
  return max((date - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)


def _read(source: str) -> str:
  if not source.startswith("file:"):
    return os.environ.get(source, "").strip()
  try:
    path = Path(source.removeprefix("file:")).expanduser()
    text = path.read_text("utf-8-sig").strip()
  except (OSError, UnicodeDecodeError):
    return ""  # also while the file is being replaced
  return _token_in_json(text) if text.startswith(("{", '"')) else text


def _token_in_json(text: str) -> str:
  """Returns the token in what a cloud's command prints; empty without one."""
  try:
    fields = json.loads(text)
  except (ValueError, RecursionError):
    return ""
  if isinstance(fields, str):
    return fields.strip()
  status = fields.get("status")
  fields |= status if isinstance(status, dict) else {}
  tokens = (fields.get(name) for name in _JSON_TOKENS)
  return str(next(filter(None, tokens), ""))


def _redact(
  text: str, secrets: Iterable[str], length: int = _MAX_LENGTH
) -> str:
  for secret in secrets:
    for spelling in _spellings(secret):
      text = text.replace(spelling, "[token]")
  return " ".join(text.split())[:length]


def _spellings(token: str) -> list[str]:
  # A server may repeat the token in JSON, base64 or a URL. The longest is
  # replaced first, because it may contain a shorter one.
  in_json = json.dumps(token)[1:-1]
  in_base64 = base64.b64encode(token.encode()).decode()
  in_url = quote(token, "")
  spellings = {token, in_json, in_json.replace("/", "\\/"), in_base64, in_url}
  return sorted(spellings, key=len, reverse=True)
