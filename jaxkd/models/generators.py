"""Generators: from latents (and labels) to images."""

from collections.abc import Sequence
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.types import Array


class ConditionalMLP(nn.Module):
  """Latents and a one-hot label to an input; CAKE's toy generator.

  Attributes:
    shape: of one input.
    num_classes: K.
    hidden: widths of the ReLU layers.
  """

  shape: Sequence[int]
  num_classes: int
  hidden: Sequence[int] = (10, 10)

  @nn.compact
  def __call__(self, latents: Array, labels: Array) -> Array:
    """`latents [N, Z]`, `labels [N]` to `[N, *shape]`, unbounded."""
    onehot = jax.nn.one_hot(labels, self.num_classes)
    x = jnp.concatenate([latents, onehot], axis=-1)
    for width in self.hidden:
      x = nn.relu(nn.Dense(width)(x))
    x = nn.Dense(math.prod(self.shape))(x)
    return x.reshape(-1, *self.shape)
