"""The HTTP side: addresses, tokens, sizes, and errors as JSON."""

from collections.abc import Awaitable, Callable
import hmac
import json
import os
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import jaxkd
from jaxkd.serve.inference import VERSION, InferenceService, ServerConfig
from jaxkd.serve.metering import ServerStats
from jaxkd.serve.tensors import RequestError
from jaxkd.types import Classifier, DataSpec, JaxkdError

THREADS = 2  # one request is parsed while another one is computed

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
  classifier: Classifier, spec: DataSpec, settings: ServerConfig
) -> Starlette:
  """The interface as an ASGI application, warmed up.

  Args:
    classifier: that answers.
    spec: of its inputs, images `[H, W, C]`.
    settings: see `Settings`; the token is read from the environment now.

  Returns:
    The application; its `state.counts` are what `/stats` reports.

  Raises:
    JaxkdError: for settings that can't be, or inputs that are no images.
  """
  desk = InferenceService(classifier, spec, settings)
  door = _Authorizer(settings.name, _token(settings.token_env))
  counts = ServerStats(settings.price_per_1000)
  limiter = anyio.CapacityLimiter(THREADS)

  def shown(payload: Callable[[], Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
      door.admit(request)
      return JSONResponse(payload())

    return endpoint

  def answered(work: Callable[[bytes], tuple[Any, int]]) -> Endpoint:
    def answer(body: bytes) -> Response:
      payload, images = work(body)
      response = Response(json.dumps(payload), media_type="application/json")
      counts.answer(images)  # before it is sent: a lost answer was an answer
      return response

    async def endpoint(request: Request) -> Response:
      try:
        door.admit(request)
        body = await _body(request, settings.max_body_bytes)
        return await anyio.to_thread.run_sync(answer, body, limiter=limiter)
      except Exception:
        counts.refuse()
        raise

    return endpoint

  routes = _routes(shown, answered, desk, counts, settings.name)
  app = Starlette(
    routes=routes,
    exception_handlers={
      RequestError: _refused,
      HTTPException: _unroutable,
      ClientDisconnect: _gone,
      Exception: _failed,
    },
  )
  app.state.counts = counts
  return app


def _routes(
  shown: Callable[..., Endpoint],
  answered: Callable[..., Endpoint],
  desk: InferenceService,
  counts: ServerStats,
  name: str,
) -> list[Route]:
  server = {
    "name": "jaxkd",
    "version": jaxkd.__version__,
    "extensions": ["classification"],
  }
  ready = {"name": name, "ready": True}
  available = {
    "version": VERSION,
    "state": "AVAILABLE",
    "status": {"error_code": "OK", "error_message": ""},
  }
  routes = [
    Route("/v2/health/live", _alive),
    Route("/v2/health/ready", _alive),
    Route("/v2", shown(lambda: server)),
    Route("/stats", shown(counts.report)),
  ]
  for version in ("", "/versions/{version}"):
    v2, v1 = "/v2/models/{name}" + version, "/v1/models/{name}" + version
    routes += [
      Route(f"{v2}/infer", answered(desk.infer), methods=["POST"]),
      Route(f"{v2}/ready", shown(lambda: ready)),
      Route(v2, shown(desk.metadata)),
      Route(f"{v1}:predict", answered(desk.predict), methods=["POST"]),
      Route(v1, shown(lambda: ready | {"model_version_status": [available]})),
    ]
  return routes


class _Authorizer:
  """Who may come in, and to which model."""

  def __init__(self, name: str, token: bytes):
    self._name, self._token = name, token

  def admit(self, request: Request) -> None:
    """Raises a Refusal, or does nothing."""
    given = request.headers.get("authorization", "").encode("latin-1")
    expected = b"Bearer " + self._token
    if self._token and not hmac.compare_digest(given, expected):
      raise RequestError(
        "Send the bearer token.", 401, {"WWW-Authenticate": "Bearer"}
      )
    name = request.path_params.get("name", self._name)
    if name != self._name:
      raise RequestError(
        f"There is no model {name!r}, only {self._name!r}.", 404
      )
    if request.path_params.get("version", VERSION) != VERSION:
      raise RequestError(f"The only version is {VERSION}.", 404)


def _token(variable: str) -> bytes:
  token = os.environ.get(variable, "")
  if variable and not token:
    raise JaxkdError(
      f"token_env={variable}: there is no such environment variable, or it is "
      "empty; put the token into it."
    )
  return token.encode()


async def _body(request: Request, most: int) -> bytes:
  received = bytearray()
  if int(request.headers.get("content-length", 0)) <= most:
    async for piece in request.stream():
      received += piece
      if len(received) > most:
        break
    else:
      return bytes(received)
  raise RequestError(
    f"The body is larger than {most} bytes; send fewer images.",
    413,
    {"Connection": "close"},
  )


async def _alive(request: Request) -> Response:
  del request
  return JSONResponse({"live": True, "ready": True})


async def _refused(request: Request, error: RequestError) -> Response:
  del request
  return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _unroutable(request: Request, error: HTTPException) -> Response:
  del request
  return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
  del request, error
  return JSONResponse({"error": "The connection was lost."}, 400)


async def _failed(request: Request, error: Exception) -> Response:
  del request, error  # the log has it
  return JSONResponse({"error": "The server failed; its log says why."}, 500)
