"""Convolutional generators, which enlarge a small map to an image."""

import math

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.cpu import upconv
from jaxkd.models.layers import Conv, Dense, batch_norm
from jaxkd.types import Array


class Upsampling(nn.Module):
  """Two nearest upsamplings with 3x3 convolutions, then one more convolution.

  With its defaults it is the generator of DataFree and CMI, and of IDEAL, whose
  paper calls it StyleGAN (it has neither a mapping network nor modulation nor
  noise). DFME's and MAZE's differ in the biases and in the last normalisation,
  DAFL's also in the tanh before it and in an epsilon of 0.8, which its code
  passes to the normalisation as if it were the momentum.

  Attributes:
    shape: `(H, W, C)` of the images, H and W multiples of 4.
    channels: channels of the quarter, the half and the full map.
    use_bias: whether the convolutions before a normalisation have biases.
    last_norm: normalisation of the output: `none`, `plain` (without scale and
      bias) or `affine`.
    tanh_first: whether tanh is applied before the last normalisation.
    epsilon: epsilon of the normalisations after the first two convolutions.
  """

  shape: tuple[int, int, int]
  channels: tuple[int, int, int] = (128, 128, 64)
  use_bias: bool = False
  last_norm: str = "none"
  tanh_first: bool = False
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, latents: Array, *, train: bool) -> Array:
    """Maps `latents [N, Z]` to `[N, H, W, C]`, unbounded."""
    norm = batch_norm(train=train, dtype=jnp.float32)
    height, width, image_channels = self.shape
    x = norm()(_first_map(latents, height // 4, width // 4, self.channels[0]))
    for features in self.channels[1:]:
      layer = Conv(features, 3, padding=1, use_bias=self.use_bias)
      kernel, bias = layer.weights(x.shape[-1])
      x = upconv.upsampled(x, kernel)
      x = norm(epsilon=self.epsilon)(x if bias is None else x + bias)
      x = nn.leaky_relu(x, 0.2)
    x = Conv(image_channels, 3, padding=1)(x)
    if self.tanh_first:
      x = nn.tanh(x)
    if self.last_norm == "none":
      return x
    affine = self.last_norm == "affine"
    return norm(use_scale=affine, use_bias=affine)(x)


class DCGAN(nn.Module):
  """Four transposed convolutions, each of which doubles the side, and one 3x3.

  The first map has a sixteenth of the side, rounded up. If the result is larger
  than the image its centre is taken: for 28x28 images the first map is 2x2, and
  a border of 2 pixels of the 32x32 result is dropped.

  Attributes:
    shape: `(H, W, C)` of the images.
    channels: channels of the first map and after each transposed convolution.
  """

  shape: tuple[int, int, int]
  channels: tuple[int, ...] = (512, 256, 128, 64, 64)

  @nn.compact
  def __call__(self, latents: Array, *, train: bool) -> Array:
    """Maps `latents [N, Z]` to `[N, H, W, C]`, unbounded."""
    norm = batch_norm(train=train, dtype=jnp.float32)
    height, width, image_channels = self.shape
    rows, columns = math.ceil(height / 16), math.ceil(width / 16)
    x = norm()(_first_map(latents, rows, columns, self.channels[0]))
    for features in self.channels[1:]:
      kernel, _ = Conv(features, 4, use_bias=False).weights(x.shape[-1])
      x = nn.leaky_relu(norm()(upconv.transposed(x, kernel)), 0.2)
    x = Conv(image_channels, 3, padding=1)(x)
    top, left = (16 * rows - height) // 2, (16 * columns - width) // 2
    return x[:, top : top + height, left : left + width]


def _first_map(latents: Array, rows: int, columns: int, features: int) -> Array:
  x = Dense(rows * columns * features)(latents)
  return x.reshape(-1, rows, columns, features)
