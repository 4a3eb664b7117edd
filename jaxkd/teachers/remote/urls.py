"""Where a teacher is: which addresses may be asked, and followed to."""

import httpx

from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote.transport import PermanentError

_PARAMETERS = ("version", "api-version")  # of a url, no secrets
_KEEPS_BODY = (307, 308)


def check_url(url: str) -> httpx.URL:
  """The address in `teacher.url`.

  Raises:
    JaxkdError: if it is none, or holds what may be a secret.
  """
  try:
    parsed = httpx.URL(url)
  except httpx.InvalidURL:
    raise JaxkdError("teacher.url is no url; choose https://HOST/...") from None
  if parsed.userinfo:
    raise JaxkdError(
      "teacher.url holds a user or a password; put the secret where "
      "teacher.token_env points."
    )
  if set(parsed.params) - set(_PARAMETERS):
    raise JaxkdError(
      "teacher.url has a part behind a question mark, which the report would "
      f"show; leave out all but {' and '.join(_PARAMETERS)}, and put a secret "
      "where teacher.token_env points."
    )
  if parsed.scheme not in ("http", "https") or not parsed.host:
    raise JaxkdError(f"teacher.url={url!r}: choose https://HOST/... or http://")
  return parsed


def resolve_redirect(response: httpx.Response, reason: str) -> httpx.URL:
  """Where a redirect leads to, on the same server.

  Raises:
    Rejected: if it leads to another one, or would drop the images.
  """
  asked = response.request.url
  try:
    target = asked.join(response.headers.get("location", ""))
  except (httpx.InvalidURL, ValueError):
    target = httpx.URL()
  if _origin(target) != _origin(asked) or target.userinfo:
    raise PermanentError(
      f"{reason} to another server than {asked.host}; if it is right, set "
      "teacher.url to it."
    )
  if response.request.method == "POST" and (
    response.status_code not in _KEEPS_BODY
  ):
    raise PermanentError(
      f"{reason}: it would drop the images; set teacher.url."
    )
  return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
  return url.scheme, url.host, url.port
