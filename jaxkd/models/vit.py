"""The vision transformer for small data sets that CAKE distils.

Lee et al., Vision Transformer for Small-Size Datasets (2021): shifted patch
tokenisation and locality self-attention.
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
    batch, height, width, _ = images.shape
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Not shifted, then shifted right, left, down and up.
    x = jnp.concatenate(
      [
        padded[:, row : row + height, column : column + width]
        for row, column in ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
      ],
      axis=-1,
    )
    rows, columns = height // self.patch, width // self.patch
    x = x.reshape(batch, rows, self.patch, columns, self.patch, -1)
    x = x.swapaxes(2, 3).reshape(batch, rows * columns, -1)
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
    height, width = images.shape[1:3]
    if height % self.patch or width % self.patch:
      raise JaxkdError(
        f"ViT takes images whose sides are multiples of {self.patch}, not "
        f"{height}x{width}; set image_size to one, e.g. 32."
      )
    x = ShiftedPatches(self.patch, self.dim, self.dtype)(images)
    normal = nn.initializers.normal(1.0)
    token = self.param("class_token", normal, (self.dim,))
    token = jnp.broadcast_to(token, (x.shape[0], 1, self.dim)).astype(
      self.dtype
    )
    x = jnp.concatenate([token, x], axis=1)
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


def _norm(dtype: jnp.dtype) -> nn.LayerNorm:
  """Creates a layer normalisation with PyTorch's epsilon."""
  return nn.LayerNorm(epsilon=1e-5, dtype=dtype)
