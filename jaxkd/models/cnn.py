"""The plain CNN of the Nasty Teacher family."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models import conv
from jaxkd.models.layers import Conv, Dense, Dtype, batch_norm, flatten
from jaxkd.types import Array, Outputs


class CNN(nn.Module):
  """Three times 3x3 convolution, batch normalisation, 2x2 max pool, ReLU; a
  linear layer of 128 with batch normalisation and ReLU; the classes.

  Attributes:
    num_classes: K.
    dtype: of the computation.
  """

  num_classes: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    x, taps = images, []
    for width in (32, 64, 128):
      x = Conv(width, 3, padding=1, dtype=self.dtype)(x)
      x = nn.relu(conv.max_pool(batch_norm(train, self.dtype)(x)))
      taps.append(x)
    x = Dense(128, dtype=self.dtype)(flatten(x))
    x = nn.relu(batch_norm(train, self.dtype)(x))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*taps, x))
