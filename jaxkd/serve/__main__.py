"""The command that serves a run's teacher or student over HTTP.

It gives audits a server to be tested against:

  pip install 'jaxkd[serve]'
  python -m jaxkd.serve --workdir=DIR --access=label --rate_limit=500
  python -m jaxkd.serve --workdir=DIR --defense=additive_noise:secret=90125

It serves one model, version 1, in two protocols:

  Open Inference Protocol v2   POST /v2/models/NAME/infer, with its health and
                               metadata, and Triton's classification extension
  V1 predict                   POST /v1/models/NAME:predict

v2 takes one tensor `images [n, H, W, C]`, UINT8 in 0..255 or FP32 in [0, 1],
its data flat or nested. V1 takes `instances`, nested lists: if all numbers of
a request are JSON integers they are 8-bit pixels, otherwise floats in [0, 1].
The answer is INT64 labels `[n]`, or FP32 probabilities or logits `[n, K]`.

`--defense` is a defence of `jaxkd/defenses` that changes answers. It is applied
here whatever `teacher.defense` the run had, as that one is not in the weights.
`--access=label`, `--access=top_k --top_k=K` and `--decimals=D` stand for
label_only, top_k:count=K and rounding:decimals=D, and come after it.

`GET /stats` returns the server's own count of the images that it answered, to
compare with a client's ledger. A request with an error is answered with
`{"error": ...}`.

Exit status: 2 for wrong input, with one line that says what is wrong; 143 after
SIGTERM and 130 after SIGINT, once the requests in flight are answered.
"""

from collections.abc import Sequence
import json
import signal
import sys

from absl import app as absl_app, flags, logging
import jax

from jaxkd.errors import fail
from jaxkd.runtime import buckets
from jaxkd.runtime.files import errors_end_command
from jaxkd.serialization import weights

try:
  from jaxkd.serve import answers
  from jaxkd.serve.answers import ServerConfig
  from jaxkd.serve.app import build_app
  from jaxkd.serve.server import http_server, listen, url_of
except ImportError as error:
  fail(f"The server needs {error.name}: pip install 'jaxkd[serve]'.")


def define_flags() -> None:
  """Defines the flags of the command; most are fields of `ServerConfig`."""
  default = ServerConfig()
  flags.DEFINE_string("workdir", None, "The folder of a run.")
  flags.DEFINE_enum(
    "which", "teacher", ["teacher", "student"], "The network to serve."
  )
  flags.DEFINE_string(
    "model", "", "module:function that builds a network of your own."
  )
  flags.DEFINE_string("host", "127.0.0.1", "The address to listen on.")
  flags.DEFINE_integer(
    "port", 8000, "The port to listen on; 0 takes a free one.", 0, 65535
  )
  flags.DEFINE_string("name", default.name, "The model's name in urls.")
  flags.DEFINE_string(
    "access", default.access, "The answers: label, top_k, probs or logits."
  )
  flags.DEFINE_string(
    "defense",
    default.defense,
    "A defence of the answers: NAME or NAME:FIELD=VALUE,FIELD=VALUE.",
  )
  flags.DEFINE_integer(
    "top_k",
    default.top_k,
    "The number of classes that top_k shows.",
  )
  flags.DEFINE_integer(
    "decimals", default.decimals, "The decimals that scores are rounded to."
  )
  flags.DEFINE_float(
    "price_per_1000", default.price_per_1000, "The price of 1000 images."
  )
  flags.DEFINE_float(
    "rate_limit",
    default.rate_limit,
    "Images per second at most; 0 for no limit.",
  )
  flags.DEFINE_integer(
    "max_body_bytes", default.max_body_bytes, "The limit of a request's bytes."
  )
  flags.DEFINE_string(
    "token_env", default.token_env, "The environment variable with the token."
  )


def parse(argv: Sequence[str]) -> Sequence[str]:
  """Parses the flags; an error ends the process with one line."""
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    fail(str(error))


def main(argv: Sequence[str]) -> None:
  """Serves the model that the flags name, until a signal comes."""
  if argv[1:]:
    fail(f"The argument {argv[1]!r} is not a flag; see --help.")
  values = flags.FLAGS.flag_values_dict()
  if not values["workdir"]:
    fail("--workdir is missing; set it to the folder of a run.")
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: sys.exit(128 + number))
  config = ServerConfig(
    **{field: values[field] for field in ServerConfig._fields}
  )
  with errors_end_command():
    with buckets.opened(values["workdir"]) as folder:
      path = folder / f"{values['which']}.safetensors"
      buckets.fetch(path)
      classifier, spec = weights.load_classifier(path, values["model"])
    app = build_app(classifier, spec, config)
    listener = listen(values["host"], values["port"])
  steps = answers.described(config)
  defense = f", defence {' then '.join(steps)}" if steps else ""
  print(
    f"{classifier.name} for {spec.name} {list(spec.shape)}, access "
    f"{config.access}{defense}: {url_of(listener)}/v2/models/{config.name}",
    flush=True,
  )
  with listener:
    try:
      http_server(app).run([listener])
    finally:
      print(f"Stopped. {json.dumps(app.state.stats.report())}")


if __name__ == "__main__":
  define_flags()
  jax.config.parse_flags_with_absl()
  logging.set_verbosity(logging.WARNING)
  absl_app.run(main, flags_parser=parse)
