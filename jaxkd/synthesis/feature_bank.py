"""A bank of features, which new images are contrasted with.

Fang et al., "Contrastive Model Inversion for Data-Free Knowledge Distillation",
IJCAI 2021: each image is to be discriminated from all others by the teacher's
features of two views of it, so that a batch repeats neither itself nor earlier
batches.
"""

from collections.abc import Callable

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd import losses
from jaxkd.models.layers import Dense
from jaxkd.types import Array

FAR = 1e3  # subtracted from a cosine, it masks empty slots


@flax.struct.dataclass
class Bank:
  """A ring buffer of the features of the newest M images.

  Attributes:
    pairs: `[M, 2, F]`, of an image's local and its global view.
    inserted: number of images that were ever inserted, int32.
  """

  pairs: Array
  inserted: Array


def empty(places: int, num_features: int) -> Bank:
  """Returns an empty bank with `places` slots."""
  pairs = jnp.zeros((places, 2, num_features))
  return Bank(pairs, jnp.zeros((), jnp.int32))


def insert(bank: Bank, pairs: Array) -> Bank:
  """Writes `pairs [N, 2, F]`, N <= M, over the oldest ones."""
  slots = (bank.inserted + jnp.arange(len(pairs))) % len(bank.pairs)
  return Bank(
    bank.pairs.at[slots].set(pairs, unique_indices=True),
    bank.inserted + len(pairs),
  )


def sample(bank: Bank, key: Array, count: int) -> tuple[Array, Array]:
  """Samples different images at random, without replacement.

  Returns:
    `pairs [count, 2, F]`, and which of them are no empty slots `[count]`.
  """
  places = jnp.arange(len(bank.pairs))
  order = jax.random.uniform(key, places.shape) - (places < bank.inserted)
  _, chosen = jax.lax.top_k(-order, count)
  return bank.pairs[chosen], chosen < bank.inserted


class ProjectionHead(nn.Module):
  """A network of two linear layers, whose outputs have length 1.

  Attributes:
    width: of the projection.
  """

  width: int = 256

  @nn.compact
  def __call__(self, features: Array) -> Array:
    """Projects features `[..., F]` to `[..., width]`."""
    hidden = nn.relu(Dense(features.shape[-1])(features))
    projected = Dense(self.width)(hidden)
    squared = jnp.sum(projected**2, axis=-1, keepdims=True)
    return projected * jax.lax.rsqrt(squared + 1e-12)


def info_nce_term(
  project: Callable[[Array], Array],
  pairs: Array,
  stored: Array,
  valid: Array,
  temperature: float,
) -> Array:
  """Computes InfoNCE of the local views against the global ones.

  It is the mean over the batch plus the mean over the stored pairs, which have
  no gradient but that of the projection. No gradient flows through global
  views.

  Args:
    project: `[..., F]` to `[..., E]`, rows of unit length.
    pairs: `[B, 2, F]`, local and global, of the batch.
    stored: `[M, 2, F]`, of earlier images.
    valid: `[M]`, which of these are no empty slots.
    temperature: of the similarities.

  Returns:
    A scalar, in nats.
  """
  count = len(pairs)
  local, whole = jnp.moveaxis(project(jnp.concatenate([pairs, stored])), 1, 0)
  rows = jnp.concatenate([jnp.ones(count, bool), valid])[:, None]
  # One more coordinate lowers the similarity of everything to an empty slot.
  terms = losses.instance_discrimination_loss(
    jnp.concatenate([local, jnp.ones_like(rows, local.dtype)], axis=1),
    jnp.concatenate([whole, jnp.where(rows, 0.0, -FAR)], axis=1),
    temperature=temperature,
  )
  total = jnp.where(valid, terms[count:], 0.0).sum()
  return terms[:count].mean() + total / jnp.maximum(valid.sum(), 1)
