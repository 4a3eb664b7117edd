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

from collections.abc import Sequence
import json
from pathlib import Path
import signal
import sys

from absl import app as absl_app, flags, logging
import jax

from jaxkd.errors import JaxkdError, fail
from jaxkd.serialization import weights

try:
  from jaxkd.serve.app import build_app
  from jaxkd.serve.inference import ServerConfig
  from jaxkd.serve.server import http_server, listen, url_of
except ImportError as error:
  fail(f"The server needs {error.name}: pip install 'jaxkd[serve]'.")


def define_flags() -> None:
  """Defines the flags of the command; see `Settings` for most."""
  default = ServerConfig()
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
  settings = ServerConfig(
    **{field: given[field] for field in ServerConfig._fields}
  )
  path = Path(given["workdir"]) / f"{given['which']}.safetensors"
  try:
    classifier, spec = weights.load_classifier(path)
    app = build_app(classifier, spec, settings)
    listening = listen(given["host"], given["port"])
  except JaxkdError as error:
    fail(str(error))
  print(
    f"{classifier.name} for {spec.name} {list(spec.shape)}, access "
    f"{settings.access}: {url_of(listening)}/v2/models/{settings.name}",
    flush=True,
  )
  with listening:
    try:
      http_server(app).run([listening])
    finally:
      print(f"Stopped. {json.dumps(app.state.counts.report())}")


if __name__ == "__main__":
  define_flags()
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  absl_app.run(main, flags_parser=parse)
