"""VGGs: for images of 32x32 or 64x64, as IDEAL has them, and torchvision's.

Simonyan and Zisserman, Very Deep Convolutional Networks (2015).
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm
from jaxkd.types import Array, Outputs

WIDTHS = (64, 128, 256, 512, 512)
# Of torchvision's: the side of the map and the width of the linear layers.
SIDE, HIDDEN = 7, 4096


class VGG(nn.Module):
  """Five blocks of 3x3 convolutions, global average pool, linear layer.

  The first three blocks end in a 2x2 pool, and the fourth where the side is 64
  or more. `features` are the outputs of the blocks and the pooled vector. The
  layers have the initialisation of `jaxkd.models.layers`; IDEAL draws kernels
  from N(0, 2 / fan_out).

  Attributes:
    num_classes: K.
    depths: number of convolutions of each block.
    divisor: divides all widths.
    dtype: compute dtype.
  """

  num_classes: int
  depths: tuple[int, ...] = (1, 1, 1, 1, 1)
  divisor: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`, at least 8x8."""
    norm = batch_norm(train=train, dtype=self.dtype)
    pools = 4 if min(images.shape[1:3]) >= 64 else 3
    x = images
    features = []
    for block, (width, depth) in enumerate(
      zip(WIDTHS, self.depths, strict=True)
    ):
      for _ in range(depth):
        x = Conv(width // self.divisor, 3, padding=1, dtype=self.dtype)(x)
        x = nn.relu(norm()(x))
      x = max_pool(x) if block < pools else x
      features.append(x)
    x = x.mean((1, 2))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))


class TorchvisionVGG(nn.Module):
  """Five blocks of 3x3 convolutions and pools, and three linear layers.

  The map is averaged to 7x7 before the linear layers, as in torchvision, so
  images may have any size of at least 32x32. `features` are the outputs of the
  blocks and of the second linear layer.

  Attributes:
    num_classes: K.
    depths: number of convolutions of each block.
    batch_norm: whether convolutions are followed by batch normalisations.
    dtype: compute dtype.
  """

  num_classes: int
  depths: tuple[int, ...]
  batch_norm: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    norm = batch_norm(train=train, dtype=self.dtype)
    x = images
    features = []
    for width, depth in zip(WIDTHS, self.depths, strict=True):
      for _ in range(depth):
        x = Conv(width, 3, padding=1, dtype=self.dtype)(x)
        x = nn.relu(norm()(x) if self.batch_norm else x)
      x = max_pool(x)
      features.append(x)
    rows, columns = (_averages(size, x.dtype) for size in x.shape[1:3])
    x = jnp.einsum("ih,jw,bhwc->bijc", rows, columns, x)
    x = x.reshape(len(x), -1)
    for _ in range(2):
      hidden = nn.relu(Dense(HIDDEN, dtype=self.dtype)(x))
      x = nn.Dropout(0.5, deterministic=not train)(hidden)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, hidden))


def _averages(size: int, dtype: jnp.dtype) -> Array:
  """Returns the matrix `[SIDE, size]` of PyTorch's adaptive average pool."""
  starts = [index * size // SIDE for index in range(SIDE)]
  ends = [-(-(index + 1) * size // SIDE) for index in range(SIDE)]
  matrix = [
    [(start <= place < end) / (end - start) for place in range(size)]
    for start, end in zip(starts, ends, strict=True)
  ]
  return jnp.asarray(matrix, dtype)
