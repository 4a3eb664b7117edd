"""The two LeNet families: DAFL's and CAKE's at 32 pixels, ZSDB3KD's at 28.

On the CPU both convolutions with their pools run in phase layout
(`jaxkd.models.phase`), with the same parameters and the same values.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models import conv, phase
from jaxkd.models.layers import Conv, Dense, Dtype, convolve, flatten, weights
from jaxkd.types import Array, JaxkdError, Outputs

KERNEL = 5


class ConvPool(nn.Module):
  """The parameters of a 5x5 convolution, and the layer in its plain form:
  convolution without padding, 2x2 max pool, ReLU.

  Attributes:
    features: output channels.
    channels: input channels.
    dtype: of the computation.
  """

  features: int
  channels: int
  dtype: Dtype = jnp.float32

  def setup(self):
    shape = (KERNEL, KERNEL, self.channels, self.features)
    self.layer = weights(self, shape, self.dtype)

  def __call__(self, x: Array) -> Array:
    kernel, bias = self.layer
    return nn.relu(conv.max_pool(convolve(x, kernel)) + bias)


class LeNet(nn.Module):
  """Two `ConvPool`, then linear layers with ReLU, the first a convolution that
  spans its whole map.

  Attributes:
    num_classes: K.
    image_size: pixels of a side.
    channels: of the two convolutions.
    hidden: widths of the linear layers; the first is the penultimate feature of
      DAFL, which taps the map of one pixel.
    dtype: of the computation.
  """

  num_classes: int
  image_size: int
  channels: tuple[int, int]
  hidden: Sequence[int]
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    del train
    if images.shape[1:3] != (self.image_size, self.image_size):
      raise JaxkdError(
        f"This LeNet takes images of {self.image_size} pixels, not "
        f"{images.shape[1]}x{images.shape[2]}; set image_size="
        f"{self.image_size}."
      )
    x, (one, two) = images.astype(self.dtype), self.channels
    first = ConvPool(one, x.shape[-1], self.dtype, name="conv1")
    second = ConvPool(two, one, self.dtype, name="conv2")
    if conv.on_cpu() and phase.fits(x.shape, KERNEL):
      _, x = phase.two_layers(x, first.layer, second.layer)
    else:
      x = second(first(x))
    width, *rest = self.hidden
    tap = Conv(width, x.shape[1], dtype=self.dtype, name="conv3")(x)
    tap = x = nn.relu(flatten(tap))
    for index, width in enumerate(rest, start=1):
      x = nn.relu(Dense(width, dtype=self.dtype, name=f"fc{index}")(x))
    last = Dense(self.num_classes, dtype=self.dtype, name=f"fc{len(rest) + 1}")
    return Outputs(last(x).astype(jnp.float32), features=(tap,))
