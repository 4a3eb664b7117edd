"""Additive noise: each probability with a random number of its own.

p' = max(p + scale n, 0) / sum, with n normal for each class. The baseline of
Orekondy et al., "Prediction Poisoning", ICLR 2020; their code, and that of
ModelGuard, add it to the log-odds and limit its norm. On probabilities it hides
all that is far below `scale`, which log-odds would keep.

Noise that differed from query to query would be averaged away. Here it is a
function of the image: its pixels on the grid of 1/255 are hashed with odd
32-bit weights drawn from `secret` (a multilinear hash modulo 2^32), and the
hash chooses the noise. The same image gets the same answer in every run and in
a server that is started again; so do images in float that are the same in 8
bits. One level of one pixel makes another image: whoever pays for many images
that are nearly the same can still average, and whoever knows `secret` can
subtract.
"""

import jax
import jax.numpy as jnp

from jaxkd.config.fields import NOT_NEGATIVE, Field, Interval
from jaxkd.types import Array

FIELDS = (
  Field("scale", float, 0.2, "Standard deviation of the noise.", NOT_NEGATIVE),
  Field(
    "secret",
    int,
    0,
    "Seed of the noise; whoever knows it can subtract the noise.",
    Interval(0, 2**32 - 1),
  ),
)


def answer(probs: Array, images: Array, *, scale: float, secret: int) -> Array:
  """Adds noise to `probs [B, K]`; one that leaves nothing is not added."""
  key = jax.random.key(secret)
  noise = image_noise(key, images, probs.shape[-1])
  noisy = jnp.maximum(probs + scale * noise, 0)
  total = noisy.sum(-1, keepdims=True)
  return jnp.where(total > 0, noisy / jnp.where(total > 0, total, 1), probs)


def image_noise(key: Array, images: Array, size: int) -> Array:
  """Returns normal numbers `[B, size]` that the image and the key determine."""
  hash_key, noise_key = jax.random.split(key)
  hashes = image_hashes(hash_key, images)

  def noise(image_hash: Array) -> Array:
    return jax.random.normal(jax.random.fold_in(noise_key, image_hash), (size,))

  return jax.vmap(noise)(hashes)


def image_hashes(key: Array, images: Array) -> Array:
  """Hashes `images [B, ...]` in pixel space to uint32 `[B]`."""
  levels = jnp.rint(images.reshape(len(images), -1) * 255).astype(jnp.int32)
  weights = jax.random.bits(key, levels.shape[1:]) | 1
  return (levels.astype(jnp.uint32) * weights).sum(-1, dtype=jnp.uint32)
