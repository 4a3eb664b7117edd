"""Vision transformers: the one for small data sets that CAKE distils, and
torchvision's ViT-B/16.

Lee et al., Vision Transformer for Small-Size Datasets (2021): shifted patch
tokenisation and locality self-attention. Dosovitskiy et al., An Image is Worth
16x16 Words (2021).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxkd.models.layers import Dense
from jaxkd.types import Array, JaxkdError, Outputs


class ShiftedPatches(nn.Module):
  """Tokens of patches of the image and of four copies shifted by one pixel.

  Attributes:
    patch: side of a patch.
    dim: dimensions of a token.
    dtype: compute dtype.
  """

  patch: int
  dim: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """Maps `[B, H, W, C]` to `[B, H W / patch^2, dim]`."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Not shifted, then shifted right, left, down and up.
    x = jnp.concatenate(
      [
        padded[:, row : row + height, column : column + width]
        for row, column in ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
      ],
      axis=-1,
    )
    x = _patches(x, self.patch)
    return Dense(self.dim, dtype=self.dtype)(_norm(self.dtype)(x))


class LocalityAttention(nn.Module):
  """Self-attention with a learned temperature and without the diagonal.

  Attributes:
    heads: number of heads.
    head_dim: dimensions of queries, keys and values.
    dtype: compute dtype; the softmax is float32.
  """

  heads: int
  head_dim: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[B, tokens, D]` to the same shape."""
    batch, tokens, dim = x.shape
    qkv = Dense(3 * self.heads * self.head_dim, False, self.dtype)(x)
    qkv = qkv.reshape(batch, tokens, 3, self.heads, self.head_dim)
    query, key, value = jnp.moveaxis(qkv, 2, 0)
    initial = nn.initializers.constant(-0.5 * jnp.log(self.head_dim))
    scale = jnp.exp(self.param("log_scale", initial, ()))
    scores = jnp.einsum("bihd,bjhd->bhij", query, key)
    scores = scores.astype(jnp.float32) * scale
    itself = jnp.eye(tokens, dtype=bool)
    scores = jnp.where(itself, jnp.finfo(scores.dtype).min, scores)
    attention = jax.nn.softmax(scores).astype(self.dtype)
    x = jnp.einsum("bhij,bjhd->bihd", attention, value)
    return Dense(dim, dtype=self.dtype)(x.reshape(batch, tokens, -1))


class ViT(nn.Module):
  """Pre-norm transformer on shifted patches with a class token.

  `features` are the class token after each layer and after the last
  normalisation.

  Attributes:
    num_classes: K.
    depth: number of transformer layers.
    dim: dimensions of a token.
    heads: number of attention heads.
    head_dim: dimensions of queries, keys and values.
    hidden: hidden width of the perceptrons.
    patch: side of a patch, which has to divide the sides of the image.
    dtype: compute dtype.
  """

  num_classes: int
  depth: int = 8
  dim: int = 64
  heads: int = 8
  head_dim: int = 64
  hidden: int = 64
  patch: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    del train  # CAKE trains it without dropout
    _check_sides(images, self.patch)
    x = ShiftedPatches(self.patch, self.dim, self.dtype)(images)
    normal = nn.initializers.normal(1.0)
    token = self.param("class_token", normal, (self.dim,))
    x = _with_token(token, x)
    position = self.param("position", normal, x.shape[1:])
    x += position.astype(self.dtype)
    features = []
    for _ in range(self.depth):
      attention = LocalityAttention(self.heads, self.head_dim, self.dtype)
      x += attention(_norm(self.dtype)(x))
      y = Dense(self.hidden, dtype=self.dtype)(_norm(self.dtype)(x))
      y = nn.gelu(y, approximate=False)
      x += Dense(self.dim, dtype=self.dtype)(y)
      features.append(x[:, 0])
    x = _norm(self.dtype)(x[:, 0])
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))


class EncoderBlock(nn.Module):
  """A layer of a transformer: self-attention and a perceptron, pre-norm.

  Attributes:
    heads: number of heads, which divides the dimensions of a token.
    hidden: hidden width of the perceptron.
    dtype: compute dtype; the softmax is float32.
  """

  heads: int
  hidden: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[B, tokens, D]` to the same shape."""
    batch, tokens, dim = x.shape
    qkv = Dense(3 * dim, dtype=self.dtype)(_norm(self.dtype, 1e-6)(x))
    qkv = qkv.reshape(batch, tokens, 3, self.heads, dim // self.heads)
    query, key, value = jnp.moveaxis(qkv, 2, 0)
    scores = jnp.einsum("bihd,bjhd->bhij", query, key).astype(jnp.float32)
    scores /= (dim // self.heads) ** 0.5
    attention = jax.nn.softmax(scores).astype(self.dtype)
    y = jnp.einsum("bhij,bjhd->bihd", attention, value)
    x += Dense(dim, dtype=self.dtype)(y.reshape(batch, tokens, dim))
    y = Dense(self.hidden, dtype=self.dtype)(_norm(self.dtype, 1e-6)(x))
    return x + Dense(dim, dtype=self.dtype)(nn.gelu(y, approximate=False))


class TorchvisionViT(nn.Module):
  """Pre-norm transformer with a class token, ViT-B/16 by default.

  Its positions are those of one size of images. `features` are the class token
  after each layer and after the last normalisation.

  Attributes:
    num_classes: K.
    depth: number of transformer layers.
    dim: dimensions of a token.
    heads: number of attention heads.
    hidden: hidden width of the perceptrons.
    patch: side of a patch, which has to divide the sides of the image.
    dtype: compute dtype.
  """

  num_classes: int
  depth: int = 12
  dim: int = 768
  heads: int = 12
  hidden: int = 3072
  patch: int = 16
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    """Applies the network to normalised images `[B, H, W, C]`."""
    del train  # torchvision's dropout is 0
    _check_sides(images, self.patch)
    x = Dense(self.dim, dtype=self.dtype)(_patches(images, self.patch))
    token = self.param("class_token", nn.initializers.zeros, (self.dim,))
    x = _with_token(token, x)
    normal = nn.initializers.normal(0.02)
    position = self.param("position", normal, x.shape[1:])
    x += position.astype(self.dtype)
    features = []
    for _ in range(self.depth):
      x = EncoderBlock(self.heads, self.hidden, self.dtype)(x)
      features.append(x[:, 0])
    x = _norm(self.dtype, 1e-6)(x[:, 0])
    logits = Dense(self.num_classes, dtype=self.dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*features, x))


def _norm(dtype: jnp.dtype, epsilon: float = 1e-5) -> nn.LayerNorm:
  """Creates a layer normalisation, by default with PyTorch's epsilon."""
  return nn.LayerNorm(epsilon=epsilon, dtype=dtype)


def _patches(images: Array, patch: int) -> Array:
  """Maps `[B, H, W, C]` to flattened patches `[B, H W / patch^2, D]`."""
  batch, height, width, _ = images.shape
  rows, columns = height // patch, width // patch
  x = images.reshape(batch, rows, patch, columns, patch, -1)
  return x.swapaxes(2, 3).reshape(batch, rows * columns, -1)


def _with_token(token: Array, x: Array) -> Array:
  """Puts a class token `[D]` before the tokens `[B, tokens, D]`."""
  first = jnp.broadcast_to(token, (x.shape[0], 1, x.shape[2]))
  return jnp.concatenate([first.astype(x.dtype), x], axis=1)


def _check_sides(images: Array, patch: int) -> None:
  height, width = images.shape[1:3]
  if height % patch or width % patch:
    raise JaxkdError(
      f"ViT takes images whose sides are multiples of {patch}, not "
      f"{height}x{width}; set image_size to one, e.g. {8 * patch}."
    )
