"""The secret that one header carries, and the wait that another asks for."""

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
_LONGEST = 300  # characters of a message that quotes others
# Headers that say what a request is.
_TAKEN = (
  "accept", "accept-encoding", "connection", "content-length", "content-type",
  "host", "transfer-encoding", "user-agent",
)  # fmt: skip


class Token:
  """The secret of a header, or none.

  Args:
    source: name of an environment variable, or `file:PATH`; empty for none.
    header: that carries it: after the word `Bearer` in `Authorization`, alone
      in any other.

  Raises:
    JaxkdError: if there is no token that fits into a header, or no such header.
      It repeats neither `source` nor `header`, which may be the secret itself,
      put there by mistake.
  """

  def __init__(self, source: str = "", header: str = BEARER):
    self._token = _read(source) if source else ""
    if source and not re.fullmatch(r"[!-~]{4,}", self._token):
      raise JaxkdError(
        "teacher.token_env: name an environment variable that is set, or "
        "file:PATH; a token is 4 or more visible ASCII characters."
      )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", header) or header.lower() in _TAKEN:
      raise JaxkdError(
        "teacher.template.header: choose Authorization, or the name of the "
        "header that carries the token alone, such as x-api-key."
      )
    self._header = header

  def headers(self) -> dict[str, str]:
    """The header that carries it."""
    if not self._token:
      return {}
    word = "Bearer " if self._header.lower() == BEARER.lower() else ""
    return {self._header: word + self._token}

  def cleared(self, text: str) -> str:
    """One short line of what others said, without the token."""
    if self._token:
      for secret in _disguises(self._token):
        text = text.replace(secret, "[token]")
    return " ".join(text.split())[:_LONGEST]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
  """Seconds that a server asks for: `Retry-After` as a number or as a date
  (RFC 9110, 10.2.3), or `retry-after-ms`; None if it does not.

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


def _disguises(token: str) -> list[str]:
  """The token as servers may write it, longest first."""
  written = json.dumps(token)[1:-1]
  coded = base64.b64encode(token.encode()).decode()
  forms = {token, written, written.replace("/", "\\/"), coded, quote(token, "")}
  return sorted(forms, key=len, reverse=True)
