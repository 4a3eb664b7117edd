"""A teacher behind a real interface, to practise an audit on.

  pip install 'jaxkd[serve]'
  python -m jaxkd.serve --workdir=DIR --access=label --rate_limit=500

Two protocols, one model, version 1:

  Open Inference Protocol v2   POST /v2/models/NAME/infer, with its health and
                               metadata, and Triton's classification extension
  V1 predict                   POST /v1/models/NAME:predict

v2 takes one tensor `images [n, H, W, C]`, UINT8 in 0..255 or FP32 in [0, 1],
its data flat or nested. V1 takes `instances`, nested lists: if all numbers of
a request are JSON integers they are 8-bit pixels, otherwise floats in [0, 1].
The answer is INT64 labels `[n]`, or FP32 probabilities or logits `[n, K]`.

`GET /stats` is the server's own count of what it answered, to hold a client's
ledger against. Whatever is wrong with a request is told as `{"error": ...}`.

Exit status: 2 wrong input (a line says what), 143 stopped by SIGTERM and 130
by SIGINT, with the requests in flight answered.
"""

from collections.abc import Iterator, Sequence
import contextlib
import json
from pathlib import Path
import signal
import socket
import sys
import threading

from absl import app as absl_app, flags, logging
import jax

from jaxkd import weights
from jaxkd.errors import fail
from jaxkd.server.desk import Settings
from jaxkd.types import JaxkdError

try:
  from starlette.applications import Starlette
  import uvicorn

  from jaxkd.server.app import build_app
except ImportError as error:
  needed = f"The server needs {error.name}: pip install 'jaxkd[serve]'."
  if __name__ != "__main__":
    raise ImportError(needed) from error
  fail(needed)

__all__ = ["Settings", "build_app", "serving"]

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
  with _listen(host, port) as listening:
    server = _server(app)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()  # until it runs, connections wait in the socket's queue
    try:
      yield _url(listening)
    finally:
      server.should_exit = True
      thread.join()


def _listen(host: str, port: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family)
  except OSError as error:
    raise JaxkdError(
      f"Can't listen on {host}, port {port}: {error.strerror}."
    ) from error


def _url(listening: socket.socket) -> str:
  host, port = listening.getsockname()[:2]
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: Starlette) -> uvicorn.Server:
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


def define_flags() -> None:
  """Defines the flags of the command; see `Settings` for most."""
  default = Settings()
  flags.DEFINE_string("workdir", None, "Folder of a run.")
  flags.DEFINE_enum(
    "which", "teacher", ["teacher", "student"], "Which of its networks."
  )
  flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
  flags.DEFINE_integer(
    "port", 8000, "Port to listen on; 0 takes a free one.", 0, 65535
  )
  flags.DEFINE_string("name", default.name, "Of the model, in the addresses.")
  flags.DEFINE_string(
    "access", default.access, "What is told: label, top_k, probs or logits."
  )
  flags.DEFINE_integer("top_k", default.top_k, "Classes that top_k tells of.")
  flags.DEFINE_integer(
    "decimals", default.decimals, "Scores are rounded to so many."
  )
  flags.DEFINE_float(
    "price_per_1000", default.price_per_1000, "Price of 1000 images."
  )
  flags.DEFINE_float(
    "rate_limit", default.rate_limit, "Images per second; 0 for no limit."
  )
  flags.DEFINE_integer(
    "max_body_bytes", default.max_body_bytes, "Of a request."
  )
  flags.DEFINE_string(
    "token_env", default.token_env, "Environment variable with the token."
  )


def parse(argv: Sequence[str]) -> Sequence[str]:
  """Flags, with mistakes told in a line."""
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    fail(str(error))


def main(argv: Sequence[str]) -> None:
  """Serves what the flags say, until a signal comes."""
  if argv[1:]:
    fail(f"What is {argv[1]!r}? All arguments are flags; see --help.")
  given = flags.FLAGS.flag_values_dict()
  if not given["workdir"]:
    fail("--workdir is missing; give the folder of a run.")
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: sys.exit(128 + number))
  settings = Settings(**{field: given[field] for field in Settings._fields})
  path = Path(given["workdir"]) / f"{given['which']}.safetensors"
  try:
    classifier, spec = weights.load_classifier(path)
    app = build_app(classifier, spec, settings)
    listening = _listen(given["host"], given["port"])
  except JaxkdError as error:
    fail(str(error))
  print(
    f"{classifier.name} for {spec.name} {list(spec.shape)}, access "
    f"{settings.access}: {_url(listening)}/v2/models/{settings.name}",
    flush=True,
  )
  with listening:
    try:
      _server(app).run([listening])
    finally:
      print(f"Stopped. {json.dumps(app.state.counts.report())}")


if __name__ == "__main__":
  define_flags()
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  absl_app.run(main, flags_parser=parse)
