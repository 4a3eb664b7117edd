"""The HTTP server, in a thread or in the foreground."""

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
  """Serves `app` from a thread and yields its url, `http://127.0.0.1:PORT`.

  Args:
    app: the application that `build_app` returns.
    port: the port to listen on; 0 takes a free one.
    host: the address to listen on.

  Raises:
    JaxkdError: if the address or port can't be listened on.
  """
  with listen(host, port) as listener:
    server = http_server(app)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()  # until it runs, connections wait in the socket's queue
    try:
      yield url_of(listener)
    finally:
      server.should_exit = True
      thread.join()


def listen(host: str, port: int) -> socket.socket:
  """Opens a socket that listens.

  Raises:
    JaxkdError: if the address or port can't be listened on.
  """
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family)
  except OSError as error:
    raise JaxkdError(
      f"The server can't listen on {host}, port {port}: {error.strerror}."
    ) from error


def url_of(listener: socket.socket) -> str:
  """Returns the url of a listening socket."""
  host, port = listener.getsockname()[:2]
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def http_server(app: Starlette) -> uvicorn.Server:
  """Configures the HTTP server for `app`."""
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
