"""The plain convolutional networks of Nasty Teacher, CAKE and IDEAL."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm
from jaxkd.types import Array, Outputs


class CNN(nn.Module):
  """Three convolutions with normalisation and pools, and two linear layers.

  In the Nasty Teacher code it is called `net`. `features` are the three maps
  and the hidden layer.

  Attributes:
    num_classes: K.
    channels: channels of the convolutions.
    hidden: width of the linear layer before the last.
    dtype: compute dtype.
  """

  num_classes: int
  channels: tuple[int, ...] = (32, 64, 128)
  hidden: int = 128
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`, at least 8x8."""
    norm = batch_norm(train=train, dtype=self.dtype)
    x = images
    features = []
    for width in self.channels:
      x = norm()(Conv(width, 3, padding=1, dtype=self.dtype)(x))
      x = nn.relu(max_pool(x))
      features.append(x)
    x = Dense(self.hidden, dtype=self.dtype)(x.reshape(x.shape[0], -1))
    x = nn.relu(norm()(x))
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))


class CakeCNN(nn.Module):
  """Four convolutions without padding and one linear layer (CAKE's mnist-cnn).

  `features` are the maps; the last one, flattened, is the input of the linear
  layer.

  Attributes:
    num_classes: K.
    channels: channels of the convolutions, whose kernel sizes are 3, 4, 3, 3.
    dtype: compute dtype.
  """

  num_classes: int
  channels: tuple[int, int, int, int] = (32, 64, 64, 64)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`.

    Images have 28x28 pixels in CAKE.
    """
    del train  # the network is the same in training
    x = nn.relu(Conv(self.channels[0], 3, dtype=self.dtype)(images))
    features = [x]
    for width, size in zip(self.channels[1:], (4, 3, 3), strict=True):
      x = nn.relu(max_pool(Conv(width, size, dtype=self.dtype)(x)))
      features.append(x)
    features[-1] = x = x.reshape(x.shape[0], -1)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))


class IdealCNN(nn.Module):
  """Three convolutions without padding and one linear layer.

  IDEAL trains it on SVHN and CIFAR-10, where its paper says AlexNet. `features`
  are the maps; the last one, flattened, is the input of the linear layer.

  Attributes:
    num_classes: K.
    dtype: compute dtype.
  """

  num_classes: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`.

    Images have 32x32 pixels in IDEAL, and need at least 18x18.
    """
    del train  # the network is the same in training
    first = nn.relu(max_pool(Conv(256, 3, dtype=self.dtype)(images)))
    second = nn.relu(max_pool(Conv(256, 3, dtype=self.dtype)(first)))
    x = nn.relu(Conv(128, 3, dtype=self.dtype)(second))
    x = x.reshape(x.shape[0], -1)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(first, second, x))
