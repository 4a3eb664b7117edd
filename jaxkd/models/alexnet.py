"""The AlexNet family of ZSDB3KD, for 32 pixels."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models import conv
from jaxkd.models.layers import Conv, Dense, Dtype, batch_norm, flatten
from jaxkd.types import Array, Outputs

# Channels, stride, and whether a 2x2 max pool follows.
LAYERS = (
  (64, 2, True),
  (192, 1, True),
  (384, 1, False),
  (256, 1, False),
  (256, 1, True),
)


class AlexNet(nn.Module):
  """Five 3x3 convolutions with batch normalisation; two linear blocks in the
  order linear, ReLU, dropout, batch normalisation; the classes.

  Attributes:
    num_classes: K.
    divisor: of all widths: 1, 2 (half) or 4 (quarter).
    dtype: of the computation.
  """

  num_classes: int
  divisor: int = 1
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    x, taps = images, []
    for channels, stride, pool in LAYERS:
      width = channels // self.divisor
      x = Conv(width, 3, stride, padding=1, dtype=self.dtype)(x)
      x = nn.relu(batch_norm(train, self.dtype)(x))
      x = conv.max_pool(x) if pool else x
      taps.append(x)
    x = flatten(x)
    for _ in range(2):
      x = nn.relu(Dense(4096 // self.divisor, dtype=self.dtype)(x))
      x = nn.Dropout(0.5, deterministic=not train)(x)
      x = batch_norm(train, self.dtype)(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*taps, x))
