"""What a server does to the probabilities of its model before it answers."""

import math
from typing import NamedTuple

import jax
import numpy as np

from jaxkd import defenses
from jaxkd.config import ACCESS_LEVELS, checks, fields, overrides
from jaxkd.config.fields import Block
from jaxkd.defenses import AnswerDefense
from jaxkd.types import Array, DataSpec, JaxkdError

SHORT_DECIMALS = 6  # a score that has at most so many is written with these


class ServerConfig(NamedTuple):
  """The answers that a server gives, its limits and its price.

  Attributes:
    name: the model's name in urls.
    access: `label`, `top_k`, `probs` or `logits`. `label` is the defence
      `label_only`, answered with the number of the class, and `top_k` that of
      this name.
    defense: name of a defence of the answer, with its fields behind a colon:
      `additive_noise:scale=0.3,secret=7`; empty for none. It comes before what
      `access` and `decimals` do.
    top_k: the number of classes whose probabilities `access=top_k` shows; the
      remaining probability is spread evenly over the other classes.
    decimals: the decimals that scores are rounded to, of probabilities by the
      defence `rounding`; None keeps them all.
    price_per_1000: the price of 1000 images.
    rate_limit: images per second, in bursts of up to a second's number; 0 is
      no limit.
    max_body_bytes: the limit of a request's bytes; a larger one is refused.
    token_env: the environment variable with the bearer token that clients must
      send, except to `/v2/health`; empty for no token.
  """

  name: str = "teacher"
  access: str = "probs"
  defense: str = ""
  top_k: int = 1
  decimals: int | None = None
  price_per_1000: float = 0.0
  rate_limit: float = 0.0
  max_body_bytes: int = 2**24
  token_env: str = ""


def chain(config: ServerConfig, spec: DataSpec) -> tuple[AnswerDefense, ...]:
  """Returns the defences of a server, in the order in which they are applied.

  Raises:
    JaxkdError: for a defence, or a value of its fields, that is not allowed.
  """
  checks.choice("access", config.access, ACCESS_LEVELS[:-1])
  if config.access == "logits" and config.defense:
    raise JaxkdError(
      f"defense={config.defense} changes probabilities, and access=logits "
      "shows more; choose label, top_k or probs."
    )
  if not 0 < config.top_k < spec.num_classes:
    raise JaxkdError(
      f"top_k={config.top_k}: choose 1 to {spec.num_classes - 1} of the "
      f"{spec.num_classes} classes; for all of them set access=probs."
    )
  if config.decimals is not None and not 0 <= config.decimals < math.inf:
    raise JaxkdError(f"decimals={config.decimals}: it must be 0 or more.")
  return tuple(map(parse, described(config)))


def described(config: ServerConfig) -> list[str]:
  """Returns the defences of a server as texts for `parse`, in their order."""
  texts = [
    config.defense,
    f"top_k:count={config.top_k}" * (config.access == "top_k"),
    "" if config.decimals is None else f"rounding:decimals={config.decimals}",
    "label_only" * (config.access == "label"),
  ]
  return [text for text in texts if text]


def parse(text: str) -> AnswerDefense:
  """Returns the defence that `NAME` or `NAME:FIELD=VALUE,...` stands for.

  Raises:
    JaxkdError: naming the defence or the field.
  """
  name, _, rest = text.partition(":")
  module = defenses.find(name, "defense")
  if not hasattr(module, "answer"):
    raise JaxkdError(
      f"defense={name} trains another teacher, and a server changes answers "
      f"alone; choose one of {', '.join(defenses.answer_names())}."
    )
  block = Block(f"defense {name}", "", defenses.own_fields(name))
  parts = (part.partition("=") for part in rest.split(",") if part)
  values = overrides.parsed(block, {field: value for field, _, value in parts})
  return AnswerDefense.of(name, fields.filled(block, values))


def changed(
  defended: tuple[AnswerDefense, ...], logits: Array, images: Array
) -> Array:
  """Returns the probabilities `[B, K]` that are told in place of `logits`."""
  probs = jax.nn.softmax(logits)
  for defense in defended:
    probs = defense(probs, images)
  return probs


def shortened(scores: np.ndarray) -> np.ndarray:
  """Returns float32 scores as float64 that are short in JSON.

  They are the same to within a unit of the last place, which XLA's division in
  rounding may be wrong by: 0.18 in place of 0.1799999923.
  """
  exact = scores.astype(np.float64)
  short = exact.round(SHORT_DECIMALS)
  return np.where(abs(short - exact) <= np.spacing(abs(scores)), short, exact)
