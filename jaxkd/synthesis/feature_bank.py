"""Contrast between images that are made now and those made before.

Fang et al., "Contrastive Model Inversion for Data-Free Knowledge Distillation",
IJCAI 2021: each image must be told from all others by the teacher's features of
two views of it, so that a batch does not repeat itself or its predecessors.
"""

from collections.abc import Callable

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd import losses
from jaxkd.models.layers import Dense
from jaxkd.types import Array

FAR = 1e3  # below any cosine: never the candidate of anybody


@flax.struct.dataclass
class Bank:
  """The features of the newest M images.

  Attributes:
    pairs: `[M, 2, F]`, of an image's local and its global view; a ring.
    inserted: how many there ever were, int32.
  """

  pairs: Array
  inserted: Array


def empty(places: int, num_features: int) -> Bank:
  """A bank with room for M images."""
  pairs = jnp.zeros((places, 2, num_features))
  return Bank(pairs, jnp.zeros((), jnp.int32))


def insert(bank: Bank, pairs: Array) -> Bank:
  """Writes `pairs [N, 2, F]`, N <= M, in the place of the oldest."""
  slots = (bank.inserted + jnp.arange(len(pairs))) % len(bank.pairs)
  return Bank(
    bank.pairs.at[slots].set(pairs, unique_indices=True),
    bank.inserted + len(pairs),
  )


def draw(bank: Bank, key: Array, count: int) -> tuple[Array, Array]:
  """Different images at random: `pairs [count, 2, F]`, and which of them are
  there at all `[count]`, if the bank holds fewer.
  """
  places = jnp.arange(len(bank.pairs))
  order = jax.random.uniform(key, places.shape) - (places < bank.inserted)
  _, chosen = jax.lax.top_k(-order, count)
  return bank.pairs[chosen], chosen < bank.inserted


class ProjectionHead(nn.Module):
  """Two linear layers, and the length 1.

  Attributes:
    width: of the projection.
  """

  width: int = 256

  @nn.compact
  def __call__(self, features: Array) -> Array:
    """`[..., F]` to `[..., width]`."""
    hidden = nn.relu(Dense(features.shape[-1])(features))
    projected = Dense(self.width)(hidden)
    squared = jnp.sum(projected**2, axis=-1, keepdims=True)
    return projected * jax.lax.rsqrt(squared + 1e-12)


def info_nce_term(
  project: Callable[[Array], Array],
  pairs: Array,
  kept: Array,
  there: Array,
  temperature: float,
) -> Array:
  """InfoNCE of the local views against the global ones, of all images.

  The mean over the batch plus the mean over those that were kept, which have no
  gradient but that of the projection. No gradient flows through global views.

  Args:
    project: `[..., F]` to `[..., E]`, rows of unit length.
    pairs: `[B, 2, F]`, local and global, of the batch.
    kept: `[M, 2, F]`, of images before.
    there: `[M]`, which of these count.
    temperature: of the similarities.

  Returns:
    A scalar, in nats.
  """
  count = len(pairs)
  local, whole = jnp.moveaxis(project(jnp.concatenate([pairs, kept])), 1, 0)
  valid = jnp.concatenate([jnp.ones(count, bool), there])[:, None]
  # One coordinate more takes those that are not there far away from all.
  found = losses.instance_discrimination_loss(
    jnp.concatenate([local, jnp.ones_like(valid, local.dtype)], axis=1),
    jnp.concatenate([whole, jnp.where(valid, 0.0, -FAR)], axis=1),
    temperature=temperature,
  )
  old = jnp.where(there, found[count:], 0.0).sum() / jnp.maximum(there.sum(), 1)
  return found[:count].mean() + old
