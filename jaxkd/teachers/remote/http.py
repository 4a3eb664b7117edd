"""Teachers behind HTTP: one httpx client, its status codes and its secrets.

Certificates are verified, other hosts are never followed to, and the token
leaves this module in one header only: whatever a server says is cleared of it
before it can reach a message, a log or the ledger.
"""

from collections.abc import Iterator
from http import HTTPStatus
import logging
import time

import httpx
import numpy as np

import jaxkd
from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.teachers.ledger import Ledger
from jaxkd.teachers.remote import protocols, urls
from jaxkd.teachers.remote.headers import Token, retry_after_s
from jaxkd.teachers.remote.remote_teacher import RemoteTeacher
from jaxkd.teachers.remote.transport import (
  NotServed,
  OutcomeUnknown,
  PermanentError,
  TooLarge,
  preflight,
)
from jaxkd.types import ACCESS_LEVELS, DataSpec

METADATA_S = 5.0  # one attempt to read metadata
PREFLIGHT_S = 15.0  # all of them; a wrong address shows soon
REPLY_BYTES = 2**26
_NOT_SERVED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_MOVED = (301, 302, 303, 307, 308)


class Http:
  """Carries requests of one protocol to one server; threads may share it.

  Args:
    url: of the server (v2) or of its one address.
    protocol: of `jaxkd.teachers.remote.protocols`.
    token: the secret of the header, if there is one.
    connections: at the same time.

  Raises:
    JaxkdError: for a url that can't be.
  """

  def __init__(
    self,
    url: str,
    protocol: protocols.V2 | protocols.V1 | protocols.Template,
    *,
    token: Token,
    connections: int,
  ):
    # Below warnings they write down addresses and headers.
    for name in ("httpx", "httpcore"):
      logging.getLogger(name).setLevel(logging.WARNING)
    self._url = urls.check_url(url)
    self._protocol = protocol
    self._token = token
    self._moved: dict[str, httpx.URL] = {}
    headers = {
      "User-Agent": f"jaxkd/{jaxkd.__version__}",
      "Accept": "application/json",
      "Accept-Encoding": "identity",  # a small reply can't become a huge one
      **token.headers(),
    }
    self._client = httpx.Client(
      headers=headers, limits=httpx.Limits(max_connections=connections)
    )

  @property
  def most(self) -> int:
    """Images that one request takes; known after `check`."""
    return self._protocol.most

  def close(self) -> None:
    """Closes the connections."""
    self._client.close()

  def check(self) -> None:
    """Reads what the protocol must know before the first query."""
    paths = self._protocol.paths
    replies = [self._call("GET", path, METADATA_S) for path in paths]
    try:
      self._protocol = self._protocol.check(replies)
    except JaxkdError as error:
      raise JaxkdError(self._token.cleared(str(error))) from None

  def size(self, images: np.ndarray) -> int:
    """Bytes of the request's body."""
    return self._protocol.size(images)

  def send(self, images: np.ndarray, *, timeout_s: float) -> np.ndarray:
    """See `jaxkd.teachers.remote.transport.Transport`."""
    path, headers, body = self._protocol.encode(images)
    reply = self._call("POST", path, timeout_s, headers, body)
    try:
      return self._protocol.decode(reply, len(images))
    except JaxkdError as error:
      raise JaxkdError(self._token.cleared(str(error))) from None

  def _call(
    self,
    method: str,
    path: str,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
  ) -> bytes:
    """The body of a reply with a status of success."""
    url, end = self._address(path), time.monotonic() + timeout_s
    try:
      with self._client.stream(
        method, url, content=body, headers=headers, timeout=timeout_s
      ) as response:
        reply = b"".join(_chunks(response, end))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as e:
      reason = self._token.cleared(f"no connection to {url.host} ({e})")
      if "CERTIFICATE_VERIFY_FAILED" in reason:
        raise PermanentError(reason) from None
      raise NotServed(reason) from None
    except httpx.HTTPError as error:
      raise OutcomeUnknown(
        f"connection lost ({type(error).__name__})"
      ) from None
    self._judge(path, response, reply)
    return reply

  def _judge(self, path: str, response: httpx.Response, reply: bytes) -> None:
    """Raises what a status means, if it is not success."""
    status = response.status_code
    reason = f"{status} {_phrase(status)}"
    if 200 <= status < 300:
      return
    if status in _MOVED:
      self._follow(path, response, reason)
    if status in _NOT_SERVED:
      raise NotServed(reason, retry_after_s(response.headers))
    if status >= 500:
      raise OutcomeUnknown(reason, retry_after_s(response.headers))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
      raise TooLarge(reason)
    asked, said = response.url.path, reply.decode(errors="replace")
    raise PermanentError(self._token.cleared(f"{reason} from {asked}: {said}"))

  def _follow(self, path: str, response: httpx.Response, reason: str) -> None:
    """Notes the new address; the next attempt, counted as such, goes there."""
    self._moved[path] = urls.resolve_redirect(response, reason)
    raise NotServed(reason, 0.0)

  def _address(self, path: str) -> httpx.URL:
    if path in self._moved:
      return self._moved[path]
    if not path:
      return self._url
    return self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")


def check(spec: DataSpec, teacher) -> None:
  """Refuses a config of `teacher` that can't be, before anything is sent.

  Raises:
    JaxkdError: naming the field, never its secret.
  """
  if not teacher.authorization.strip():
    raise JaxkdError(
      "teacher.authorization is empty: say who allowed these queries; it goes "
      "into the report."
    )
  checks.choice("teacher.access", teacher.access, ACCESS_LEVELS[:-1])
  urls.check_url(teacher.url)
  _token(teacher)
  protocols.build(spec, teacher)


def open_teacher(
  spec: DataSpec, teacher, queries, ledger: Ledger
) -> RemoteTeacher:
  """The teacher behind `teacher.url`, once it is known to fit.

  Args:
    spec: of the images.
    teacher: the config's block of that name.
    queries: likewise.
    ledger: counts, and keeps answers.

  Raises:
    JaxkdError: naming the field, or what does not fit.
  """
  check(spec, teacher)
  limits = ("max_in_flight", "images_per_request", "bytes_per_request")
  limits += ("deadline_s",)
  checks.positive(**{f"queries.{name}": queries[name] for name in limits})
  transport = Http(
    teacher.url,
    protocols.build(spec, teacher),
    token=_token(teacher),
    connections=queries.max_in_flight,
  )
  try:
    preflight(transport, min(queries.deadline_s, PREFLIGHT_S))
  except BaseException:
    transport.close()
    raise
  return RemoteTeacher(
    transport,
    ledger,
    access=teacher.access,
    images_per_request=min(queries.images_per_request, transport.most),
    bytes_per_request=queries.bytes_per_request,
    max_in_flight=queries.max_in_flight,
    deadline_s=queries.deadline_s,
  )


def _token(teacher) -> Token:
  return Token(teacher.token_env, teacher.template.header)


def _chunks(response: httpx.Response, end: float) -> Iterator[bytes]:
  received = 0
  for chunk in response.iter_bytes():
    received += len(chunk)
    if received > REPLY_BYTES:
      raise JaxkdError(f"a reply of more than {REPLY_BYTES} bytes.")
    if time.monotonic() > end:
      raise httpx.ReadTimeout("the reply drips")
    yield chunk


def _phrase(status: int) -> str:
  """The standard's words, never the server's."""
  return HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
