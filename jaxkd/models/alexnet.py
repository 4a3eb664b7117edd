"""The AlexNets of ZSDB3KD and IDEAL, for small images."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm, check_side
from jaxkd.types import Array, Outputs


class AlexNet(nn.Module):
  """Five convolutions and three linear layers, with batch normalisation.

  Hidden linear layers are followed by ReLU, dropout and normalisation.
  `features` are the outputs of the five convolution layers and of the two
  hidden linear layers.

  Attributes:
    num_classes: K.
    divisor: divisor of all widths: 1, 2 or 4.
    dropout: probability that a hidden unit is dropped in training.
    dtype: compute dtype.
  """

  num_classes: int
  divisor: int = 1
  dropout: float = 0.5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, 32, 32, C]`.

    Training needs a dropout key.
    """
    check_side(images, 32, "AlexNet")
    norm = batch_norm(train=train, dtype=self.dtype)
    x = images
    features = []
    for width, stride, pooled in (
      (64, 2, True),
      (192, 1, True),
      (384, 1, False),
      (256, 1, False),
      (256, 1, True),
    ):
      width //= self.divisor
      x = Conv(width, 3, stride, padding=1, dtype=self.dtype)(x)
      x = nn.relu(norm()(x))
      x = max_pool(x) if pooled else x
      features.append(x)
    x = x.reshape(x.shape[0], -1)
    for _ in range(2):
      x = nn.relu(Dense(4096 // self.divisor, dtype=self.dtype)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
      x = norm()(x)
      features.append(x)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))


class IdealAlexNet(nn.Module):
  """The network that IDEAL calls AlexNet, without batch normalisation.

  IDEAL uses it for MNIST and Fashion-MNIST. As in the released code, there is
  no activation after the third and fourth convolution, nor after the first
  linear layer. `features` are the outputs of the convolution layers and of the
  first linear layer.

  Attributes:
    num_classes: K.
    dtype: compute dtype.
  """

  num_classes: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`.

    Images have 28x28 pixels in IDEAL, and need at least 12x12.
    """
    del train  # the network is the same in training
    x = images
    features = []
    # Channels, and the window of the following pool and ReLU, or 0 without.
    for width, window in ((32, 2), (64, 2), (128, 0), (256, 0), (256, 3)):
      x = Conv(width, 3, padding=1, dtype=self.dtype)(x)
      x = nn.relu(max_pool(x, (window, window))) if window else x
      features.append(x)
    x = Dense(512, dtype=self.dtype)(x.reshape(x.shape[0], -1))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))
