"""The HTTP transport of remote teachers: connections, status codes and token.

Certificates are verified, and redirects to other hosts are refused. The token
is sent in one header only; it is removed from what a server replies before
that can reach a message, a log or the ledger.
"""

from collections import Counter
from http import HTTPStatus
import logging
import time

import httpx
import numpy as np

import jaxkd
from jaxkd.errors import JaxkdError
from jaxkd.teachers.answers import CheckedAnswers
from jaxkd.teachers.remote import outcomes, protocols, tensors, urls
from jaxkd.teachers.remote.client import (
  describe_loss,
  new_client,
  via_proxy,
)
from jaxkd.teachers.remote.headers import RequestHeaders, retry_after_s
from jaxkd.teachers.remote.outcomes import Cost, Next, Outcome
from jaxkd.teachers.remote.transport import (
  FailedTooLarge,
  Moved,
  NoConnection,
  NotServed,
  OutcomeUnknown,
  PermanentError,
  RetryableError,
  TooLarge,
)

CONNECT_S = 5.0  # for one attempt to connect
REPLY_BYTES = 2**26  # the largest reply that is read
MESSAGE_BYTES = 2**16  # of a reply without answers that are read


class Http:
  """Sends requests of one protocol to one server; threads may share it.

  Args:
    url: the server's base url (v2), or the url that takes the requests.
    protocol: one of those in `jaxkd.teachers.remote.protocols`.
    headers: those that authorize and route requests.
    connections: the number of connections at the same time.
    metadata_s: seconds for one attempt to read metadata.
    idempotency_key: whether each request carries a key of its images.

  Raises:
    JaxkdError: for a url that is not allowed.
  """

  def __init__(
    self,
    url: str,
    protocol: protocols.V2 | protocols.V1 | protocols.Template,
    *,
    headers: RequestHeaders,
    connections: int,
    metadata_s: float,
    idempotency_key: bool = False,
  ):
    # At lower levels both log urls and headers.
    for name in ("httpx", "httpcore"):
      logging.getLogger(name).setLevel(logging.WARNING)
    self._url = urls.check_url(url)
    self._protocol = protocol
    self._headers = headers
    self._metadata_s = metadata_s
    self._idempotency_key = idempotency_key
    self._redirects: dict[str, httpx.URL] = {}
    self._num_redirects: Counter[str] = Counter()
    self._client = new_client(self._url, connections)
    self._client.headers = {
      "User-Agent": f"jaxkd/{jaxkd.__version__}",
      "Accept": "application/json",
      "Accept-Encoding": "identity",  # a small reply can't become a huge one
    }

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
    replies = [self._read_metadata(path) for path in self._protocol.paths]
    try:
      self._protocol = self._protocol.check(replies)
    except JaxkdError as error:
      raise JaxkdError(self._headers.redact(str(error))) from None

  def _read_metadata(self, path: str) -> bytes:
    """Returns a reply with metadata; empty where a server may lack them."""
    try:
      return self._call("GET", path, self._metadata_s)
    except PermanentError as error:
      optional = path in self._protocol.optional_paths
      if error.status in (404, 405) or (optional and error.status == 403):
        return b""  # the protocol says what is missing
      raise
    except (TooLarge, JaxkdError) as error:
      if path.endswith("/ready"):  # servers say with any status that it isn't
        raise NotServed(str(error)) from None
      if path in self._protocol.optional_paths:
        return b""
      raise JaxkdError(
        f"{error} If the server has no metadata, {tensors.DECLARE}."
      ) from None

  def size(self, images: np.ndarray) -> int:
    """Counts the bytes of the request's body."""
    return self._protocol.size(images)

  def send(
    self, images: np.ndarray, *, timeout_s: float, key: str
  ) -> CheckedAnswers:
    """Asks for answers; see `jaxkd.teachers.remote.transport.Transport`."""
    path, headers, body = self._protocol.encode(images)
    if self._idempotency_key:
      headers = {**headers, "Idempotency-Key": key}
    reply = self._call("POST", path, timeout_s, headers, body)
    try:
      answers = self._protocol.decode(reply, len(images))
    except JaxkdError as error:
      raise JaxkdError(self._headers.redact(str(error))) from None
    redact = self._headers.redact
    wrong = {index: redact(reason) for index, reason in answers.wrong.items()}
    return answers._replace(wrong=wrong)

  def _call(
    self,
    method: str,
    path: str,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
  ) -> bytes:
    """Sends one HTTP request and returns the body of a successful reply."""
    secrets = self._headers.headers()
    headers = {**(headers or {}), **secrets}
    url, end = self._resolve(path), time.monotonic() + timeout_s
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
    reply = bytearray()
    try:
      with self._client.stream(
        method, url, content=body, headers=headers, timeout=timeout
      ) as response:
        try:
          _read(response, reply, end)
        except httpx.HTTPError:
          if response.is_success:
            raise  # else the status alone says what happened
    except httpx.HTTPError as error:
      outcome = outcomes.of_exception(error)
      reason = describe_loss(error, timeout_s)
      if outcome.cost == Cost.FREE:
        reason = f"no connection to {url.host}{via_proxy(url)} ({error})"
      raise _error(outcome, self._headers.redact(reason)) from None
    status = response.status_code
    if not response.is_success:
      if status in (401, 403) and secrets != self._headers.headers():
        raise NotServed(f"{status}, with a token that was renewed since")
      self._raise_for_status(path, response, reply.decode(errors="replace"))
    self._num_redirects[path] = 0
    return bytes(reply)

  def _raise_for_status(
    self, path: str, response: httpx.Response, text: str
  ) -> None:
    """Raises the error that a status stands for."""
    status = response.status_code
    # The standard's phrase: a server's own text might hold the token.
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
    reason = f"{status} {phrase}"
    if status in outcomes.get("moved_away").statuses:
      self._follow(path, response, reason)
    outcome = outcomes.of_status(status, text, response.headers)
    if outcome.cost == Cost.UNKNOWN or (
      outcome.then == Next.END or status not in outcome.statuses
    ):
      reason = f"{reason} from {response.url.path}: {text}"
    reason = self._headers.redact(reason)
    raise _error(outcome, reason, retry_after_s(response.headers), status)

  def _follow(self, path: str, response: httpx.Response, reason: str) -> None:
    """Saves the new url for the next attempt, which counts as a new one."""
    target = urls.resolve_redirect(response, reason)
    if target != self._redirects.get(path):  # else another request was first
      self._redirects[path] = target
      self._num_redirects[path] += 1
    if (
      target == response.request.url
      or self._num_redirects[path] > outcomes.MAX_REDIRECTS
    ):
      raise PermanentError(
        f"{reason}: the server redirects in a circle; set teacher.url to the "
        "address that answers."
      )
    raise Moved(reason)

  def _resolve(self, path: str) -> httpx.URL:
    if path in self._redirects:
      return self._redirects[path]
    if not path:
      return self._url
    return self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")


def _error(
  outcome: Outcome,
  reason: str,
  retry_after_s: float | None = None,
  status: int | None = None,
) -> Exception:
  """Returns the error that stands for an outcome."""
  free = outcome.cost == Cost.FREE
  if outcome.name == "no_connection":
    return NoConnection(reason)
  if outcome.then == Next.HALVE:
    return TooLarge(reason)
  if outcome.then == Next.HALVE_AGAIN:
    return FailedTooLarge(reason, retry_after_s)
  if outcome.then == Next.END:
    return PermanentError(reason, status) if free else JaxkdError(reason)
  retryable: type[RetryableError] = NotServed if free else OutcomeUnknown
  return retryable(reason, retry_after_s)


def _read(response: httpx.Response, reply: bytearray, end: float) -> None:
  """Appends what arrives of a reply, until it is whole."""
  for chunk in response.iter_bytes():
    reply += chunk
    if not response.is_success and len(reply) > MESSAGE_BYTES:
      return
    if len(reply) > REPLY_BYTES:
      raise JaxkdError(
        f"The reply has more than {REPLY_BYTES} bytes; check teacher.url, or "
        "lower queries.images_per_request."
      )
    if time.monotonic() > end:
      raise httpx.ReadTimeout("the reply took too long")
