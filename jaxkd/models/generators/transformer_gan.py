"""The transformer generator that IDEAL compares with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models.layers import Conv, Dense
from jaxkd.types import Array


class Layer(nn.Module):
  """A transformer layer: pre-norm self-attention and perceptron.

  Scores are divided by sqrt(dim), as in IDEAL's code, and not by the square
  root of the dimensions of a head.

  Attributes:
    heads: number of heads, which share the dimensions of a token.
    ratio: hidden width of the perceptron over the dimensions of a token.
  """

  heads: int = 4
  ratio: int = 4

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[N, tokens, dim]` to the same shape."""
    count, tokens, dim = x.shape
    qkv = Dense(3 * dim, use_bias=False)(_norm()(x))
    qkv = qkv.reshape(count, tokens, 3, self.heads, -1)
    query, key, value = jnp.moveaxis(qkv, 2, 0)
    scores = jnp.einsum("bihd,bjhd->bhij", query, key) / dim**0.5
    y = jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(scores), value)
    x += Dense(dim)(y.reshape(x.shape))
    y = Dense(self.ratio * dim)(_norm()(x))
    return x + Dense(dim)(nn.gelu(y, approximate=False))


class TransformerGAN(nn.Module):
  """Three stages of transformer layers, on tokens of 4x4, 2x2 and 1x1 pixels.

  Between the stages every token becomes four, which share its dimensions (pixel
  shuffle), and position embeddings are added, which start at zero. IDEAL's code
  lacks the perceptron; here it is the usual one. It was published for 32x32x3
  images with an unbounded output, where `create_generator` has a sigmoid.

  Attributes:
    shape: `(H, W, C)` of the images, H and W multiples of 4.
    dim: dimensions of the first tokens, a multiple of 64.
    depths: layers per stage.
  """

  shape: tuple[int, int, int]
  dim: int = 384
  depths: tuple[int, int, int] = (5, 4, 2)

  @nn.compact
  def __call__(self, latents: Array, *, train: bool) -> Array:
    """Maps `latents [N, Z]` to `[N, H, W, C]`, unbounded."""
    del train  # layer normalisation is the same in both modes
    height, width, channels = self.shape
    x = Dense(height // 4 * (width // 4) * self.dim)(latents)
    x = x.reshape(-1, height // 4, width // 4, self.dim)
    for stage, depth in enumerate(self.depths):
      x = _shuffle(x) if stage else x
      shape = x.shape
      x = x.reshape(shape[0], -1, shape[-1])
      x += self.param(f"position_{stage}", nn.initializers.zeros, x.shape[1:])
      for _ in range(depth):
        x = Layer()(x)
      x = x.reshape(shape)
    return Conv(channels, 1)(x)


def _shuffle(x: Array) -> Array:
  """`[N, H, W, 4 D]` to `[N, 2 H, 2 W, D]`."""
  count, height, width, dim = x.shape
  x = x.reshape(count, height, width, 2, 2, dim // 4).swapaxes(2, 3)
  return x.reshape(count, 2 * height, 2 * width, dim // 4)


def _norm() -> nn.LayerNorm:
  """Layer normalisation with PyTorch's epsilon."""
  return nn.LayerNorm(epsilon=1e-5)
