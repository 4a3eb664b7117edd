"""LeNet-5 as in the data-free papers, and the LeNets of ZSDB3KD and IDEAL."""

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu import conv, space_to_depth
from jaxkd.models.cpu.pool import max_pool
from jaxkd.models.layers import Conv, Dense, batch_norm, check_side
from jaxkd.types import Array, Outputs


class LeNet(nn.Module):
  """5x5 convolutions without padding, the first two with pools, linear layers.

  `features` are the two pooled maps and the flattened output of the last
  convolution (in LeNet-5 the 120 features that DAFL uses) or, without a third
  convolution, of the hidden layer.

  On the CPU the first two layers run in the space-to-depth layout
  (`jaxkd.models.cpu.space_to_depth`) with the same parameters.

  Attributes:
    num_classes: K.
    channels: channels of the convolutions, two or three.
    hidden: width of the hidden linear layer.
    side: side of the images.
    dtype: compute dtype.
  """

  num_classes: int
  channels: tuple[int, ...] = (6, 16, 120)
  hidden: int = 84
  side: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, side, side, C]`."""
    del train  # the network is the same in training
    check_side(images, self.side, "This LeNet")
    layers = [Conv(width, 5, dtype=self.dtype) for width in self.channels]
    maps = self._first_two(images.astype(self.dtype), *layers[:2])
    x = maps[1]
    for layer in layers[2:]:
      x = nn.relu(layer(x))
    x = x.reshape(x.shape[0], -1)
    hidden = nn.relu(Dense(self.hidden, dtype=self.dtype)(x))
    logits = Dense(self.num_classes, dtype=self.dtype)(hidden)
    last = x if layers[2:] else hidden
    return Outputs(logits.astype(jnp.float32), features=(*maps, last))

  def _first_two(
    self, x: Array, first: Conv, second: Conv
  ) -> tuple[Array, Array]:
    if conv.on_cpu() and space_to_depth.fits(x.shape, 5):
      return space_to_depth.two_layers(
        x, first.weights(x.shape[-1]), second.weights(first.features)
      )
    x = nn.relu(max_pool(first(x)))
    return x, nn.relu(max_pool(second(x)))


class IdealLeNet(nn.Module):
  """IDEAL's LeNet: 5x5 convolutions with padding and normalisation.

  `features` are the two pooled maps; the second, flattened, is the input of the
  linear layer.

  Attributes:
    num_classes: K.
    channels: channels of the convolutions.
    dtype: compute dtype.
  """

  num_classes: int
  channels: tuple[int, ...] = (16, 32)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`.

    Images have 28x28 pixels in IDEAL.
    """
    norm = batch_norm(train=train, dtype=self.dtype)
    x = images
    features = []
    for width in self.channels:
      x = norm()(Conv(width, 5, padding=2, dtype=self.dtype)(x))
      x = nn.relu(max_pool(x))
      features.append(x)
    features[-1] = x = x.reshape(x.shape[0], -1)
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=tuple(features))
