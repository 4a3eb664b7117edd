"""Procedural images in other methods: as starts, or as a share of the queries.

Both are a third each of smooth noise, dead leaves and strokes, see
`jaxkd.synthesis.procedural`. No published system has them.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import FRACTION, Field
from jaxkd.data.pixels import to_float
from jaxkd.synthesis import priors, procedural
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  Networks,
  Phase,
  Samples,
  State,
)

MIXTURE = {"smooth": 1.0, "leaves": 1.0, "strokes": 1.0}
START = Field(
  "start",
  str,
  "noise",
  "What images are before their first update: as published, or procedural.",
  ("noise", "procedural"),
)
SHARE = Field(
  "procedural_share",
  float,
  0.0,
  "Share of procedural images among those that the teacher labels.",
  FRACTION,
)


def start_images(start: str, key: Array, count: int, spec: DataSpec) -> Array:
  """Draws normalised inputs `[count, *spec.shape]` to optimise.

  Args:
    start: `noise`, which is standard normal, or `procedural`.
    key: random key.
    count: number of inputs.
    spec: of the inputs.

  Raises:
    JaxkdError: if inputs that are no images are to be procedural.
  """
  if start == "noise":
    return priors.normal(key, count, spec)
  images = draw(key, count, spec)
  mean, std = jnp.array(spec.mean), jnp.array(spec.std)
  return (to_float(images) - mean) / std


def with_share(phase: Phase, share: float, spec: DataSpec) -> Phase:
  """Returns a phase that asks about procedural images in place of a share.

  Args:
    phase: whose images do not depend on the answers to each other.
    share: of the images; with 0 the phase is returned as it is.
    spec: of the inputs.
  """
  if not share:
    return phase

  def ask(state: State, nets: Networks, key: Array):
    own_key, draw_key = jax.random.split(key)
    state, samples, terms = phase.ask(state, nets, own_key)
    return state, replace_share(samples, share, draw_key, spec), terms

  return phase._replace(ask=ask)


def replace_share(
  samples: Samples, share: float, key: Array, spec: DataSpec
) -> Samples:
  """Returns samples whose last `share` of images are procedural, without class.

  Args:
    samples: made by a method, float images `[N, *spec.shape]`.
    share: 0 returns them as they are.
    key: random key.
    spec: of the inputs.
  """
  count = round(share * len(samples.labels))
  if not count:
    return samples
  rest = len(samples.labels) - count
  images = to_float(draw(key, count, spec))
  return samples._replace(
    images=jnp.concatenate([samples.images[:rest], images]),
    labels=jnp.concatenate([samples.labels[:rest], jnp.full(count, -1)]),
  )


def draw(key: Array, count: int, spec: DataSpec) -> Array:
  """Draws procedural images, uint8 `[count, *spec.shape]`.

  Raises:
    JaxkdError: if the inputs are no images.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {spec.shape}, and procedural images "
      "are [H, W, C]; set synthesis.start=noise or procedural_share=0."
    )
  return procedural.draw_mixture(MIXTURE, key, count, spec.shape)
