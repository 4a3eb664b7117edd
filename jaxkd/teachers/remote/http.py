"""The HTTP transport of remote teachers: connections, status codes and token.

Certificates are verified, and redirects to other hosts are refused. The token
is sent in one header only; it is removed from what a server replies before
that can reach a message, a log or the ledger.
"""

from collections.abc import Iterator
from http import HTTPStatus
import logging
import time

import httpx
from ml_collections import ConfigDict
import numpy as np

import jaxkd
from jaxkd.config import ACCESS_LEVELS, checks
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
from jaxkd.types import DataSpec

METADATA_S = 5.0  # for one attempt to read metadata
PREFLIGHT_S = 15.0  # for all attempts, so that a wrong url is an error soon
REPLY_BYTES = 2**26  # the largest reply that is read
# Servers reply so before they do any work. Every other status from 500 up may
# come after the model has run.
_NOT_SERVED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_REDIRECTS = (301, 302, 303, 307, 308)


class Http:
  """Sends requests of one protocol to one server; threads may share it.

  Args:
    url: the server's base url (v2), or the url that takes the requests.
    protocol: one of those in `jaxkd.teachers.remote.protocols`.
    token: the secret that authorizes requests, if there is one.
    connections: the number of connections at the same time.

  Raises:
    JaxkdError: for a url that is not allowed.
  """

  def __init__(
    self,
    url: str,
    protocol: protocols.V2 | protocols.V1 | protocols.Template,
    *,
    token: Token,
    connections: int,
  ):
    # At lower levels both log urls and headers.
    for name in ("httpx", "httpcore"):
      logging.getLogger(name).setLevel(logging.WARNING)
    self._url = urls.check_url(url)
    self._protocol = protocol
    self._token = token
    self._redirects: dict[str, httpx.URL] = {}
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
  def max_images(self) -> int:
    """The number of images that one request takes; known after `check`."""
    return self._protocol.max_images

  def close(self) -> None:
    """Closes the connections."""
    self._client.close()

  def check(self) -> None:
    """Reads the server's metadata and completes the protocol with it.

    Raises:
      NotServed, OutcomeUnknown: if the check may be repeated.
      JaxkdError: if the model does not fit.
    """
    paths = self._protocol.paths
    replies = [self._call("GET", path, METADATA_S) for path in paths]
    try:
      self._protocol = self._protocol.check(replies)
    except JaxkdError as error:
      raise JaxkdError(self._token.redact(str(error))) from None

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""
    return self._protocol.size(images)

  def send(self, images: np.ndarray, *, timeout_s: float) -> np.ndarray:
    """Asks for answers; see `jaxkd.teachers.remote.transport.Transport`."""
    path, headers, body = self._protocol.encode(images)
    reply = self._call("POST", path, timeout_s, headers, body)
    try:
      return self._protocol.decode(reply, len(images))
    except JaxkdError as error:
      raise JaxkdError(self._token.redact(str(error))) from None

  def _call(
    self,
    method: str,
    path: str,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
  ) -> bytes:
    """Sends one HTTP request and returns the body of a successful reply."""
    url, end = self._resolve(path), time.monotonic() + timeout_s
    try:
      with self._client.stream(
        method, url, content=body, headers=headers, timeout=timeout_s
      ) as response:
        reply = b"".join(_chunks(response, end))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as e:
      reason = self._token.redact(f"no connection to {url.host} ({e})")
      if "CERTIFICATE_VERIFY_FAILED" in reason:
        raise PermanentError(reason) from None
      raise NotServed(reason) from None
    except httpx.HTTPError as error:
      raise OutcomeUnknown(
        f"connection lost ({type(error).__name__})"
      ) from None
    self._check_status(path, response, reply)
    return reply

  def _check_status(
    self, path: str, response: httpx.Response, reply: bytes
  ) -> None:
    """Raises the error that a status stands for, unless it is a success."""
    status = response.status_code
    reason = f"{status} {_phrase(status)}"
    if 200 <= status < 300:
      return
    if status in _REDIRECTS:
      self._follow(path, response, reason)
    if status in _NOT_SERVED:
      raise NotServed(reason, retry_after_s(response.headers))
    if status >= 500:
      raise OutcomeUnknown(reason, retry_after_s(response.headers))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
      raise TooLarge(reason)
    text = (
      f"{reason} from {response.url.path}: {reply.decode(errors='replace')}"
    )
    raise PermanentError(self._token.redact(text))

  def _follow(self, path: str, response: httpx.Response, reason: str) -> None:
    """Saves the new url for the next attempt, which counts as a new one."""
    self._redirects[path] = urls.resolve_redirect(response, reason)
    raise NotServed(reason, 0.0)

  def _resolve(self, path: str) -> httpx.URL:
    if path in self._redirects:
      return self._redirects[path]
    if not path:
      return self._url
    return self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")


def check(spec: DataSpec, teacher: ConfigDict) -> None:
  """Checks the fields of `teacher` for a remote teacher; nothing is sent.

  Raises:
    JaxkdError: for a value that is not allowed; it never quotes the token.
  """
  if not teacher.authorization.strip():
    raise JaxkdError(
      "teacher.authorization is empty: say who allowed these queries; the "
      "report quotes it."
    )
  checks.choice("teacher.access", teacher.access, ACCESS_LEVELS[:-1])
  urls.check_url(teacher.url)
  _token(teacher)
  protocols.build(spec, teacher)


def open_teacher(
  spec: DataSpec, teacher: ConfigDict, queries: ConfigDict, ledger: Ledger
) -> RemoteTeacher:
  """Connects to the teacher at `teacher.url` and checks that it fits.

  Args:
    spec: the shape and classes of the images.
    teacher: the config's block of that name.
    queries: the config's block of that name.
    ledger: counts the queries and holds the answers.

  Raises:
    JaxkdError: for a value that is not allowed, or a model that does not fit.
  """
  check(spec, teacher)
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
    images_per_request=min(queries.images_per_request, transport.max_images),
    bytes_per_request=queries.bytes_per_request,
    max_in_flight=queries.max_in_flight,
    deadline_s=queries.deadline_s,
  )


def _token(teacher: ConfigDict) -> Token:
  return Token(teacher.token_env, teacher.template.header)


def _chunks(response: httpx.Response, end: float) -> Iterator[bytes]:
  num_bytes = 0
  for chunk in response.iter_bytes():
    num_bytes += len(chunk)
    if num_bytes > REPLY_BYTES:
      raise JaxkdError(f"The reply has more than {REPLY_BYTES} bytes.")
    if time.monotonic() > end:
      raise httpx.ReadTimeout("the reply took too long")
    yield chunk


def _phrase(status: int) -> str:
  # The standard's phrase: a server's own text might hold the token.
  return HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
