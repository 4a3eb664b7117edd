"""The generator and the three student networks ("substitutes") of DaST.

Zhou et al., DaST: Data-free Substitute Training for Adversarial Attacks (2020).
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.models.cpu import upconv
from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm, check_side
from jaxkd.types import Array, JaxkdError, Outputs


class Branch(nn.Module):
  """The part of the generator for one class: latents to a square map.

  It has a convolution and, as published, five transposed convolutions, each of
  which doubles the side.

  Attributes:
    width: channels of the maps.
    train: whether to normalise with the statistics of the batch.
    doublings: number of transposed convolutions.
  """

  width: int
  train: bool
  doublings: int = 5

  @nn.compact
  def __call__(self, latents: Array) -> Array:
    """Maps `[N, Z]` to `[N, S, S, width]`, where S is 2 ** doublings."""
    norm = batch_norm(train=self.train, dtype=jnp.float32)
    x = latents[:, None, None]
    x = Conv(self.width, 3, padding=1, use_bias=False)(x)
    x = nn.leaky_relu(norm()(x), 0.2)
    for _ in range(self.doublings):
      kernel, _ = Conv(self.width, 4, use_bias=False).weights(x.shape[-1])
      x = nn.leaky_relu(norm()(upconv.transposed(x, kernel)), 0.2)
    return x


class Trunk(nn.Module):
  """The part of the generator that all classes share: a map to an image.

  For 28x28 images the first two convolutions have no padding; for others all
  have padding, and ReLU is used in place of leaky ReLU.

  Attributes:
    side: side of the image, 28, 32 or 64.
    channels: channels of the image.
    width: channels of the input map.
  """

  side: int
  channels: int
  width: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[N, S, S, width]` to `[N, side, side, channels]`, unbounded.

    S is the side, but 32 for 28.
    """
    norm = batch_norm(train=train, dtype=jnp.float32)
    slope = 0.2 if self.side == 28 else 0.0
    width = self.width
    features = (2 * width, 4 * width, 2 * width, width, width // 2)
    for index, count in enumerate((*features, self.channels)):
      padding = 0 if self.side == 28 and index < 2 else 1
      x = norm()(Conv(count, 3, padding=padding, use_bias=False)(x))
      x = nn.leaky_relu(x, slope)
    return Conv(self.channels, 3, padding=1, use_bias=False)(x)


class DaST(nn.Module):
  """DaST's generator: a branch for each class and a shared trunk.

  The latents are distributed over the branches in order: of N rows, row i
  becomes an image of class i // (N / K). Each branch normalises over its own
  rows, the trunk over all rows. Images of 64x64, for which none was published,
  have a sixth transposed convolution.

  Attributes:
    shape: `(28, 28, C)`, `(32, 32, C)` or `(64, 64, C)`.
    num_classes: K.
    width: channels of the branches.

  Raises:
    JaxkdError: if the images have another size, or if K does not divide N.
  """

  shape: tuple[int, int, int]
  num_classes: int
  width: int = 128

  def __post_init__(self):
    if self.shape[:2] not in ((28, 28), (32, 32), (64, 64)):
      size = "x".join(map(str, self.shape[:2]))
      raise JaxkdError(
        f"DaST's generator makes images of 28x28, 32x32 or 64x64, not {size}; "
        "set image_size=32."
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, latents: Array, *, train: bool) -> Array:
    """Maps `latents [N, Z]` to `[N, H, W, C]`, unbounded."""
    count = len(latents)
    checks.multiple("number of latents", count, "classes", self.num_classes)
    branches = nn.vmap(
      Branch,
      variable_axes={"params": 0, "batch_stats": 0},
      split_rngs={"params": True},
    )
    x = latents.reshape(self.num_classes, -1, latents.shape[-1])
    side, _, channels = self.shape
    doublings = 6 if side == 64 else 5
    x = branches(self.width, train, doublings, name="branches")(x)
    trunk = Trunk(side, channels, self.width, name="trunk")
    return trunk(x.reshape(count, *x.shape[2:]), train=train)


class Substitute(nn.Module):
  """DaST's student networks for 28x28 images: convolutions and linear layers.

  They have two 5x5 convolutions without padding and up to two 3x3 convolutions
  with padding, each followed by a pool, and two linear layers. `features` are
  the pooled maps and the hidden layer. DaST's small and medium network return
  log-probabilities; here all return logits, which are equivalent for every loss
  with a softmax.

  Attributes:
    num_classes: K.
    sizes: sizes of the kernels.
    dtype: compute dtype.
  """

  num_classes: int
  sizes: tuple[int, ...] = (5, 5)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, 28, 28, C]`."""
    del train  # the network is the same in training
    check_side(images, 28, "DaST's substitute")
    x = images
    features = []
    for index, size in enumerate(self.sizes):
      padding = 0 if size == 5 else 1
      width = 20 if index == 0 else 50
      x = Conv(width, size, padding=padding, dtype=self.dtype)(x)
      x = nn.relu(max_pool(x))
      features.append(x)
    x = nn.relu(Dense(500, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))
