"""A multi-layer perceptron on flattened inputs (CAKE)."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Dense, Dtype, flatten
from jaxkd.types import Array, Outputs


class MLP(nn.Module):
  """Linear layers with ReLU between them.

  Attributes:
    num_classes: K.
    width: of every hidden layer.
    depth: hidden layers.
    dtype: of the computation.
  """

  num_classes: int
  width: int = 20
  depth: int = 3
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, inputs: Array, *, train: bool = False) -> Outputs:
    del train
    x = flatten(inputs)
    for index in range(self.depth):
      x = nn.relu(Dense(self.width, dtype=self.dtype, name=f"fc{index}")(x))
    logits = Dense(self.num_classes, dtype=self.dtype, name="head")(x)
    return Outputs(logits.astype(jnp.float32), features=(x,))
