"""Multilayer perceptrons, for points and for flattened images."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Dense
from jaxkd.types import Array, Outputs


class MLP(nn.Module):
  """CAKE's linear layers with ReLU; `features` are their outputs.

  CAKE counts the hidden layers after the first: its `num_hidden=2` is
  `layers=3` here.

  Attributes:
    num_classes: K.
    width: of the hidden layers.
    layers: how many hidden layers.
    dtype: to compute in.
  """

  num_classes: int
  width: int = 20
  layers: int = 3
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """`images [B, ...]`, normalised."""
    del train  # there is nothing that differs
    x = images.reshape(images.shape[0], -1)
    features = []
    for _ in range(self.layers):
      x = nn.relu(Dense(self.width, dtype=self.dtype)(x))
      features.append(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))


class IdealMLP(nn.Module):
  """IDEAL's linear layers with ReLU; `features` are their outputs.

  The released network ends in a softmax, of which its cross-entropy then takes
  a softmax again: no class could get more than e / (e + K - 1), and gradients
  all but vanish. These are the logits.

  Attributes:
    num_classes: K.
    widths: of the hidden layers.
    dtype: to compute in.
  """

  num_classes: int
  widths: tuple[int, ...] = (512, 128)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """`images [B, ...]`, normalised."""
    del train  # there is nothing that differs
    x = images.reshape(images.shape[0], -1)
    features = []
    for width in self.widths:
      x = nn.relu(Dense(width, dtype=self.dtype)(x))
      features.append(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))
