"""An HTTP server in a thread or in the foreground."""

from collections.abc import Iterator
import contextlib
import socket
import threading

from starlette.applications import Starlette
import uvicorn

from jaxkd.errors import JaxkdError

GRACE_S = 10  # for requests in flight, when the server is told to stop


@contextlib.contextmanager
def serving(
  app: Starlette, port: int = 0, host: str = "127.0.0.1"
) -> Iterator[str]:
  """Serves `app` from a thread; gives its url, `http://127.0.0.1:PORT`.

  Args:
    app: of `build_app`.
    port: 0 takes a free one.
    host: to listen on.

  Raises:
    JaxkdError: if one can't listen there.
  """
  with listen(host, port) as listening:
    server = http_server(app)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()  # until it runs, connections wait in the socket's queue
    try:
      yield url_of(listening)
    finally:
      server.should_exit = True
      thread.join()


def listen(host: str, port: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family)
  except OSError as error:
    raise JaxkdError(
      f"Can't listen on {host}, port {port}: {error.strerror}."
    ) from error


def url_of(listening: socket.socket) -> str:
  host, port = listening.getsockname()[:2]
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def http_server(app: Starlette) -> uvicorn.Server:
  return uvicorn.Server(
    uvicorn.Config(
      app,
      http="h11",
      ws="none",
      lifespan="off",
      access_log=False,
      log_config=None,  # the logging of the process stays as it is
      timeout_graceful_shutdown=GRACE_S,
    )
  )
