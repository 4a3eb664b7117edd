"""The request header with a token, and the reply header `Retry-After`."""

import base64
from collections.abc import Mapping
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
_MAX_LENGTH = 300  # characters of a message that quotes a server
# Headers that describe a request; a token must not replace one of them.
_RESERVED = (
  "accept", "accept-encoding", "connection", "content-length", "content-type",
  "host", "transfer-encoding", "user-agent",
)  # fmt: skip


class Token:
  """The secret that authorizes requests, if there is one.

  Args:
    source: the name of an environment variable, or `file:PATH`; empty for none.
    header: the header that carries the token: after the word `Bearer` in
      `Authorization`, alone in any other.

  Raises:
    JaxkdError: if the source holds no token that fits into a header, or the
      header's name is not allowed. The message repeats neither `source` nor
      `header`, because users put the secret itself there by mistake.
  """

  def __init__(self, source: str = "", header: str = BEARER):
    self._token = _read(source) if source else ""
    if source and not re.fullmatch(r"[!-~]{4,}", self._token):
      raise JaxkdError(
        "teacher.token_env must name an environment variable that is set, or "
        "file:PATH; the token must be 4 or more visible ASCII characters."
      )
    if (
      not re.fullmatch(r"[A-Za-z0-9_-]+", header) or header.lower() in _RESERVED
    ):
      raise JaxkdError(
        "teacher.template.header must be Authorization or the name of a header "
        "that carries the token alone, such as x-api-key."
      )
    self._header = header

  def headers(self) -> dict[str, str]:
    """Returns the header that carries the token, or no header."""
    if not self._token:
      return {}
    word = "Bearer " if self._header.lower() == BEARER.lower() else ""
    return {self._header: word + self._token}

  def redact(self, text: str) -> str:
    """Shortens a server's text to one line without the token."""
    if self._token:
      for secret in _spellings(self._token):
        text = text.replace(secret, "[token]")
    return " ".join(text.split())[:_MAX_LENGTH]


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
    return Path(source.removeprefix("file:")).read_text().strip()
  except (OSError, UnicodeDecodeError):
    raise JaxkdError(
      "teacher.token_env names a file that can't be read."
    ) from None


def _spellings(token: str) -> list[str]:
  # A server may repeat the token in JSON, base64 or a URL. The longest is
  # replaced first, because it may contain a shorter one.
  in_json = json.dumps(token)[1:-1]
  in_base64 = base64.b64encode(token.encode()).decode()
  in_url = quote(token, "")
  spellings = {token, in_json, in_json.replace("/", "\\/"), in_base64, in_url}
  return sorted(spellings, key=len, reverse=True)
