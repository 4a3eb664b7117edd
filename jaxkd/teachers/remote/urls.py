"""Checks of a remote teacher's url, and of the redirects of its server."""

import ipaddress
import re

import httpx

from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote.transport import PermanentError

_PARAMETERS = ("version", "api-version")  # allowed, as they hold no secret
_KEEP_BODY = (307, 308)


def check_url(url: str) -> httpx.URL:
  """Parses and checks `teacher.url`.

  Raises:
    JaxkdError: if it is not a url, or has a part that may be a secret.
  """
  try:
    parsed_url = httpx.URL(url)
  except httpx.InvalidURL:
    parsed_url = None
  # Of the text only the port is repeated: the rest may hold a password.
  host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
  port = re.fullmatch(r"(\[.*\]|[^:]*):(.*)", host)
  if port and not (port[2].isdecimal() and 0 < int(port[2]) < 65536):
    raise JaxkdError(
      f"teacher.url has the port {port[2]!r}: choose a number from 1 to 65535."
    )
  if parsed_url is None or re.search(r"[\s%]", host):
    raise JaxkdError("teacher.url is not a url; set https://HOST/...")
  if parsed_url.userinfo:
    raise JaxkdError(
      "teacher.url holds a user or a password; leave it out, and name the "
      "source of the secret in teacher.token_env."
    )
  if set(parsed_url.params) - set(_PARAMETERS):
    raise JaxkdError(
      "teacher.url has parameters behind a question mark, which the report "
      f"would show; leave out all but {' and '.join(_PARAMETERS)}, and name "
      "the source of a secret in teacher.token_env."
    )
  if parsed_url.scheme not in ("http", "https") or not parsed_url.host:
    raise JaxkdError(
      f"teacher.url={url!r}: choose https://HOST/... or http://HOST/..."
    )
  return parsed_url


def is_loopback(url: httpx.URL) -> bool:
  """Returns whether a url leads to this machine itself."""
  try:
    return ipaddress.ip_address(url.host).is_loopback
  except ValueError:
    return url.host == "localhost" or url.host.endswith(".localhost")


def resolve_redirect(response: httpx.Response, reason: str) -> httpx.URL:
  """Returns the url of a redirect on the same server.

  Raises:
    PermanentError: if it leads to another server, or drops the request's body.
  """
  source = response.request.url
  try:
    target = source.join(response.headers.get("location", ""))
  except (httpx.InvalidURL, ValueError):
    target = httpx.URL()
  if _origin(target) != _origin(source) or target.userinfo:
    raise PermanentError(
      f"{reason} to another server than {source.host}; if that server is the "
      "teacher, set teacher.url to it."
    )
  if response.request.method == "POST" and (
    response.status_code not in _KEEP_BODY
  ):
    raise PermanentError(
      f"{reason}: following it would drop the images; set teacher.url to "
      "the server's new address."
    )
  return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
  return url.scheme, url.host, url.port
