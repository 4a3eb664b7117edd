"""The ASGI application: routes, authorization, size limits and JSON errors."""

from collections.abc import Awaitable, Callable
import hmac
import json
import os

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import jaxkd
from jaxkd.runtime.files import Json
from jaxkd.serve.answers import ServerConfig
from jaxkd.serve.inference import VERSION, InferenceService
from jaxkd.serve.metering import ServerStats
from jaxkd.serve.tensors import RequestError
from jaxkd.types import Classifier, DataSpec, JaxkdError

THREADS = 2  # one request is parsed while another one is computed

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
  classifier: Classifier, spec: DataSpec, config: ServerConfig
) -> Starlette:
  """Builds the ASGI application, with the network compiled for common sizes.

  Args:
    classifier: the network that answers.
    spec: the shape of its inputs, images `[H, W, C]`.
    config: see `ServerConfig`; the token is read from the environment here.

  Returns:
    The application; its `state.stats` are the numbers that `/stats` reports.

  Raises:
    JaxkdError: for values that are not allowed, or inputs that are not images.
  """
  service = InferenceService(classifier, spec, config)
  authorizer = _Authorizer(config.name, _read_token(config.token_env))
  stats = ServerStats(config.price_per_1000)
  limiter = anyio.CapacityLimiter(THREADS)

  def get(payload: Callable[[], dict[str, Json]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
      authorizer.check(request)
      return JSONResponse(payload())

    return endpoint

  def post(work: Callable[[bytes], tuple[dict[str, Json], int]]) -> Endpoint:
    def answer(body: bytes) -> Response:
      payload, images = work(body)
      response = Response(json.dumps(payload), media_type="application/json")
      # Counted before it is sent: a reply that is lost was paid for.
      stats.count_answer(images)
      return response

    async def endpoint(request: Request) -> Response:
      try:
        authorizer.check(request)
        body = await _read_body(request, config.max_body_bytes)
        return await anyio.to_thread.run_sync(answer, body, limiter=limiter)
      except Exception:
        stats.count_refusal()
        raise

    return endpoint

  routes = _routes(get, post, service, stats, config.name)
  app = Starlette(
    routes=routes,
    exception_handlers={
      RequestError: _reply_refused,
      HTTPException: _reply_unroutable,
      ClientDisconnect: _reply_disconnected,
      Exception: _reply_failed,
    },
  )
  app.state.stats = stats
  return app


def _routes(
  get: Callable[..., Endpoint],
  post: Callable[..., Endpoint],
  service: InferenceService,
  stats: ServerStats,
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
    Route("/v2/health/live", _reply_alive),
    Route("/v2/health/ready", _reply_alive),
    Route("/v2", get(lambda: server)),
    Route("/stats", get(stats.report)),
  ]
  for version in ("", "/versions/{version}"):
    v2, v1 = "/v2/models/{name}" + version, "/v1/models/{name}" + version
    routes += [
      Route(f"{v2}/infer", post(service.infer), methods=["POST"]),
      Route(f"{v2}/ready", get(lambda: ready)),
      Route(v2, get(service.metadata)),
      Route(f"{v1}:predict", post(service.predict), methods=["POST"]),
      Route(v1, get(lambda: ready | {"model_version_status": [available]})),
    ]
  return routes


class _Authorizer:
  """Checks the token, the model's name and its version in each request."""

  def __init__(self, name: str, token: bytes):
    self._name, self._token = name, token

  def check(self, request: Request) -> None:
    """Raises a `RequestError` if the request is not allowed."""
    header = request.headers.get("authorization", "").encode("latin-1")
    expected = b"Bearer " + self._token
    if self._token and not hmac.compare_digest(header, expected):
      raise RequestError(
        "Send the bearer token in the Authorization header.",
        401,
        {"WWW-Authenticate": "Bearer"},
      )
    name = request.path_params.get("name", self._name)
    if name != self._name:
      raise RequestError(
        f"There is no model {name!r}; the only model is {self._name!r}.", 404
      )
    if request.path_params.get("version", VERSION) != VERSION:
      raise RequestError(f"The only version is {VERSION}.", 404)


def _read_token(variable: str) -> bytes:
  token = os.environ.get(variable, "")
  if variable and not token:
    raise JaxkdError(
      f"token_env={variable}: the environment variable is not set or empty; "
      "set it to the token."
    )
  return token.encode()


async def _read_body(request: Request, max_bytes: int) -> bytes:
  content = bytearray()
  if int(request.headers.get("content-length", 0)) <= max_bytes:
    async for chunk in request.stream():
      content += chunk
      if len(content) > max_bytes:
        break
    else:
      return bytes(content)
  raise RequestError(
    f"The body is larger than {max_bytes} bytes; send fewer images.",
    413,
    {"Connection": "close"},
  )


async def _reply_alive(request: Request) -> Response:
  del request
  return JSONResponse({"live": True, "ready": True})


async def _reply_refused(request: Request, error: RequestError) -> Response:
  del request
  return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _reply_unroutable(request: Request, error: HTTPException) -> Response:
  del request
  return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _reply_disconnected(
  request: Request, error: ClientDisconnect
) -> Response:
  del request, error
  return JSONResponse({"error": "The connection was lost."}, 400)


async def _reply_failed(request: Request, error: Exception) -> Response:
  del request, error  # the log has it
  return JSONResponse({"error": "The server failed; its log says why."}, 500)
