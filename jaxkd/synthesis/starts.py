"""Procedural images in other methods: as starts, or as a share of the queries.

They are strokes and objects in equal parts, unless a method has weights of the
sources of its own (`jaxkd.synthesis.procedural`). No published system has them.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import FRACTION, NOT_NEGATIVE, Block, Field
from jaxkd.data.pixels import to_float
from jaxkd.models.layers import to_pixels
from jaxkd.runtime import keys
from jaxkd.runtime.keys import Stream
from jaxkd.synthesis import priors, procedural
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Networks,
  Phase,
  Samples,
  State,
)

NUM_PROBES = 512
CANDIDATES = 8  # procedural images of which one is taken
MIXTURE = {"strokes": 1.0, "objects": 1.0}
_MEANING = "What images are before their first update: as published (noise), "
START = Field(
  "start",
  str,
  "noise",
  _MEANING + "or procedural.",
  ("noise", "procedural"),
)
MATCHED_START = Field(
  "start",
  str,
  "noise",
  _MEANING + "procedural, or those of several times as many that the teacher "
  "takes for their class (matched).",
  ("noise", "procedural", "matched"),
)
SHARE = Field(
  "procedural_share",
  float,
  0.0,
  "Share of procedural images among those that the teacher labels.",
  FRACTION,
)


def sources_block(defaults: dict[str, float]) -> Block:
  """Returns the block `sources`, the weights of the sources of images.

  Args:
    defaults: weights by the names of sources; the others are 0.
  """
  return Block(
    "sources",
    "Weights of the sources of images, see jaxkd.synthesis.procedural.",
    tuple(
      Field(
        name, float, defaults.get(name, 0.0), f"Weight of {name}.", NOT_NEGATIVE
      )
      for name in procedural.SOURCES
    ),
  )


def check_sources(sources: dict[str, float]) -> None:
  """Raises a `JaxkdError` if no source has a weight."""
  if not any(sources.values()):
    raise JaxkdError(
      "synthesis.sources: all weights are 0; set one of "
      f"{', '.join(procedural.SOURCES)} above 0."
    )


def start_images(
  start: str,
  key: Array,
  count: int,
  spec: DataSpec,
  sources: dict[str, float] = MIXTURE,
) -> Array:
  """Draws normalised inputs `[count, *spec.shape]` to optimise.

  Args:
    start: `noise`, which is standard normal, or `procedural`.
    key: random key.
    count: number of inputs.
    spec: of the inputs.
    sources: weights of the sources of procedural images.

  Raises:
    JaxkdError: if inputs that are no images are to be procedural.
  """
  if start == "noise":
    return priors.normal(key, count, spec)
  return _normalise(draw(key, count, spec, sources), spec)


def matched_images(
  teacher: Classifier,
  key: Array,
  labels: Array,
  spec: DataSpec,
  sources: dict[str, float] = MIXTURE,
) -> Array:
  """Draws normalised inputs `[N, *spec.shape]` that resemble their class.

  Of `CANDIDATES` procedural images for each, those that the teacher takes for
  the class come first, in random order, then those that are likeliest to be of
  the class. (Students learn less from images that are chosen by how certain or
  uncertain the teacher is.)

  Args:
    teacher: gives probabilities.
    key: random key.
    labels: the class of each input, `[N]`.
    spec: of the inputs.
    sources: weights of the sources of procedural images.

  Raises:
    JaxkdError: if the inputs are no images.
  """
  draw_key, order_key = jax.random.split(key)
  images = draw(draw_key, CANDIDATES * len(labels), spec, sources)

  def answer(images: Array) -> Array:
    return jax.nn.softmax(teacher(to_float(images)).logits)

  # As many at once as are optimised, which bounds the memory.
  parts = images.reshape(CANDIDATES, len(labels), *spec.shape)
  probs = jax.lax.map(answer, parts).reshape(len(images), -1)
  is_class = probs == probs.max(1, keepdims=True)
  noise = jax.random.uniform(order_key, (len(images), 1))
  order = jnp.argsort(-jnp.where(is_class, 1 + noise, probs), axis=0)
  same = labels[:, None] == labels
  rank = jnp.tril(same, -1).sum(1)  # earlier inputs of the same class
  return _normalise(images[order[rank, labels]], spec)


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


def probe_images(
  spec: DataSpec, key: Array | None = None, count: int = NUM_PROBES
) -> Array:
  """Returns inputs on which networks are measured, as floats `[count, ...]`.

  They are procedural images, or points that are distributed as the data's
  mean and standard deviation say.

  Args:
    spec: of the inputs.
    key: random key; None: the same inputs for all runs.
    count: number of inputs.
  """
  if key is None:
    key = keys.fold(jax.random.key(0), Stream.PROBES)
  if len(spec.shape) == 3:
    return to_float(draw(key, count, spec))
  return to_pixels(priors.normal(key, count, spec), spec)


def compared_images(
  teacher: Classifier, key: Array, count: int, spec: DataSpec
) -> Array:
  """Returns inputs on which two networks are compared, `[count, ...]` floats.

  They are procedural images that the teacher takes for all classes equally
  often, or points as in `probe_images`. (Half a LeNet-5 with weights that were
  fitted on images of any class is worse by 5 points on Fashion-MNIST.)
  """
  if len(spec.shape) != 3:
    return probe_images(spec, key, count)
  labels = jnp.arange(count) % spec.num_classes
  return to_pixels(matched_images(teacher, key, labels, spec), spec)


def draw(
  key: Array,
  count: int,
  spec: DataSpec,
  sources: dict[str, float] = MIXTURE,
) -> Array:
  """Draws procedural images, uint8 `[count, *spec.shape]`.

  Raises:
    JaxkdError: if the inputs are no images.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {spec.shape}, and procedural images "
      "are [H, W, C]; set synthesis.start=noise or procedural_share=0."
    )
  return procedural.draw_mixture(sources, key, count, spec.shape)


def _normalise(images: Array, spec: DataSpec) -> Array:
  return (to_float(images) - jnp.array(spec.mean)) / jnp.array(spec.std)
