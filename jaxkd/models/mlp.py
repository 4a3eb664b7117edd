"""Multilayer perceptrons for points and for flattened images."""

from collections.abc import Sequence
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models.layers import Dense
from jaxkd.types import Array, Outputs


class MLP(nn.Module):
  """CAKE's perceptron: linear layers with ReLU, whose outputs are `features`.

  CAKE counts the hidden layers after the first: its `num_hidden=2` is
  `layers=3` here.

  Attributes:
    num_classes: K.
    width: width of the hidden layers.
    layers: number of hidden layers.
    dtype: compute dtype.
  """

  num_classes: int
  width: int = 20
  layers: int = 3
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, ...]`."""
    del train  # the network is the same in training
    x = images.reshape(images.shape[0], -1)
    features = []
    for _ in range(self.layers):
      x = nn.relu(Dense(self.width, dtype=self.dtype)(x))
      features.append(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))


class ConditionalMLP(nn.Module):
  """CAKE's toy generator: latents and a one-hot label to a point or an image.

  Attributes:
    shape: shape of one output.
    num_classes: K.
    hidden: widths of the ReLU layers.
  """

  shape: Sequence[int]
  num_classes: int
  hidden: Sequence[int] = (10, 10)

  @nn.compact
  def __call__(self, latents: Array, labels: Array) -> Array:
    """Maps `latents [N, Z]`, `labels [N]` to `[N, *shape]`, unbounded."""
    onehot = jax.nn.one_hot(labels, self.num_classes)
    x = jnp.concatenate([latents, onehot], axis=-1)
    for width in self.hidden:
      x = nn.relu(nn.Dense(width)(x))
    x = nn.Dense(math.prod(self.shape))(x)
    return x.reshape(-1, *self.shape)


class IdealMLP(nn.Module):
  """IDEAL's perceptron: linear layers with ReLU, whose outputs are `features`.

  The released network ends in a softmax, and its cross entropy applies another
  softmax, so that no class can get a probability above e / (e + K - 1) and
  gradients nearly vanish. Here the network returns logits.

  Attributes:
    num_classes: K.
    widths: widths of the hidden layers.
    dtype: compute dtype.
  """

  num_classes: int
  widths: tuple[int, ...] = (512, 128)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, ...]`."""
    del train  # the network is the same in training
    x = images.reshape(images.shape[0], -1)
    features = []
    for width in self.widths:
      x = nn.relu(Dense(width, dtype=self.dtype)(x))
      features.append(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))
