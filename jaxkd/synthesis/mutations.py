"""Mutations: new candidate images, made from images that were asked before.

Evolutionary searches make new candidates from old ones; here an image keeps
some of what made the teacher name a rare class. Each mutation warps its parent,
and then by chance blends it with a partner, lays a smooth pattern over it, or
takes a part of it, an eighth to seven eighths, from the partner.
"""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxkd.types import Array

CHUNK = 1024  # images that are floats at once
ANGLE = 0.25  # radians; this and the following are standard deviations
LOG_SCALE = 0.15
SHEAR = 0.15
SHIFT = 0.05  # of the side
# Probabilities of what follows the warp; with the rest nothing does.
BLEND, PATTERN, HALVES = 0.3, 0.3, 0.15
MAX_PATTERN = 0.5  # weight of a pattern
MIN_HALF = 0.125  # of the side, the least that a parent keeps or loses


def mutate(
  key: Array, parents: Array, partners: Array, patterns: Array
) -> Array:
  """Returns a mutation of each parent, uint8 `[N, H, W, C]`.

  Args:
    key: random key.
    parents: uint8 `[N, H, W, C]`.
    partners: uint8 `[N, H, W, C]`, other images to blend with.
    patterns: uint8 `[N, H, W, C]`, smooth images to lay over.
  """
  keys = jax.random.split(key, len(parents))

  def mutate_one(images: tuple[Array, ...]) -> Array:
    key, *pixels = images
    mutated = _mutate_one(key, *(each.astype(jnp.float32) for each in pixels))
    return mutated.clip(0, 255).round().astype(jnp.uint8)

  return jax.lax.map(
    mutate_one, (keys, parents, partners, patterns), batch_size=CHUNK
  )


def _mutate_one(
  key: Array, parent: Array, partner: Array, pattern: Array
) -> Array:
  warp_key, kind_key, blend_key, weight_key, half_key = jax.random.split(key, 5)
  image = warp(warp_key, parent)
  lighter, left_right = jax.random.bernoulli(blend_key, shape=(2,))
  blend = jnp.where(lighter, jnp.maximum(image, partner), (image + partner) / 2)
  weight = jax.random.uniform(weight_key, maxval=MAX_PATTERN)
  overlaid = (1 - weight) * image + weight * pattern
  halves = _joined(half_key, image, partner, left_right)
  kind = jax.random.uniform(kind_key)
  bounds = (BLEND, BLEND + PATTERN, BLEND + PATTERN + HALVES)
  return jnp.select(
    [kind < bound for bound in bounds], [blend, overlaid, halves], image
  )


def _joined(key: Array, first: Array, second: Array, left_right: Array):
  """Takes the upper or left part of one image, the rest of the other."""
  height, width, _ = first.shape
  cut = jax.random.uniform(key, minval=MIN_HALF, maxval=1 - MIN_HALF)
  upper = (jnp.arange(height) < cut * height)[:, None, None]
  left = (jnp.arange(width) < cut * width)[None, :, None]
  return jnp.where(jnp.where(left_right, left, upper), first, second)


def warp(key: Array, image: Array) -> Array:
  """Rotates, scales, shears and shifts an image `[H, W, C]` a little.

  Pixels from outside are those of the nearest border.
  """
  height, width, _ = image.shape
  angle, *logs, shear, down, right = jax.random.normal(key, (6,))
  sine, cosine = jnp.sin(ANGLE * angle), jnp.cos(ANGLE * angle)
  turn = jnp.array([[cosine, -sine], [sine, cosine]])
  heights, widths = (jnp.exp(LOG_SCALE * log) for log in logs)
  stretch = jnp.array([[heights, SHEAR * shear], [0.0, widths]])
  middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
  shift = SHIFT * jnp.array([down * height, right * width])
  places = jnp.stack(
    jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
  )
  sources = jnp.einsum(
    "ij,jhw->ihw", turn @ stretch, places - middle[:, None, None]
  )
  sources = sources + (middle + shift)[:, None, None]

  def sample(channel: Array) -> Array:
    return map_coordinates(channel, list(sources), order=1, mode="nearest")

  return jax.vmap(sample, in_axes=2, out_axes=2)(image)
