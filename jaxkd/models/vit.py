"""The vision transformer for small data sets (Lee, Lee and Song, 2021), in the
sizes of CAKE: shifted patch tokens, and attention that can't look at itself.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from jaxkd.models.layers import Dense, Dtype
from jaxkd.types import Array, Outputs


class ShiftedPatches(nn.Module):
  """The image and its four one-pixel shifts, cut into patches.

  Attributes:
    patch: side of a patch in pixels.
    width: of a token.
    dtype: of the computation.
  """

  patch: int
  width: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """`[B, H, W, C]` to `[B, H W / patch^2, width]`."""
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    corners = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
    shifted = [padded[:, y : y + height, x : x + width] for y, x in corners]
    tokens = _cut(jnp.concatenate(shifted, axis=-1), self.patch)
    tokens = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype)(tokens)
    return Dense(self.width, dtype=self.dtype)(tokens)


def _cut(images: Array, patch: int) -> Array:
  """`[B, H, W, C]` to `[B, H W / patch^2, patch^2 C]`."""
  batch, height, width, channels = images.shape
  x = images.reshape(
    batch, height // patch, patch, width // patch, patch, channels
  )
  return x.swapaxes(2, 3).reshape(batch, -1, patch**2 * channels)


class LocalAttention(nn.Module):
  """Self-attention with a learned temperature and without the diagonal.

  Attributes:
    heads: attention heads.
    head_width: of each.
    dtype: of the computation.
  """

  heads: int
  head_width: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, tokens: Array) -> Array:
    batch, count, width = tokens.shape
    inner = self.heads * self.head_width
    start = math.log(self.head_width**-0.5)
    log_scale = self.param("log_scale", nn.initializers.constant(start), ())
    qkv = Dense(3 * inner, bias=False, dtype=self.dtype, name="qkv")(tokens)
    qkv = qkv.reshape(batch, count, 3, self.heads, self.head_width)
    queries, keys, values = jnp.moveaxis(qkv, 2, 0)
    scores = jnp.einsum("bihd,bjhd->bhij", queries, keys).astype(jnp.float32)
    scores = scores * jnp.exp(log_scale)
    itself = jnp.eye(count, dtype=bool)
    scores = jnp.where(itself, jnp.finfo(scores.dtype).min, scores)
    attention = nn.softmax(scores).astype(self.dtype)
    mixed = jnp.einsum("bhij,bjhd->bihd", attention, values)
    out = Dense(width, dtype=self.dtype, name="out")
    return out(mixed.reshape(batch, count, inner))


class ViT(nn.Module):
  """Pre-norm transformer over 4x4 patches, read at the class token.

  Attributes:
    num_classes: K.
    depth: blocks.
    dtype: of the computation.
  """

  num_classes: int
  depth: int
  dtype: Dtype = jnp.float32

  patch, width, heads, head_width, hidden = 4, 64, 8, 64, 64

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> Outputs:
    del train
    dtype, normal = self.dtype, nn.initializers.normal(1.0)

    def norm(x: Array) -> Array:
      return nn.LayerNorm(epsilon=1e-5, dtype=dtype)(x)

    tokens = ShiftedPatches(self.patch, self.width, dtype)(images)
    batch, count, width = tokens.shape
    first = self.param("class_token", normal, (1, 1, width)).astype(dtype)
    places = self.param("places", normal, (1, count + 1, width)).astype(dtype)
    first = jnp.broadcast_to(first, (batch, 1, width))
    x = jnp.concatenate([first, tokens], axis=1) + places
    taps = []
    for _ in range(self.depth):
      x = x + LocalAttention(self.heads, self.head_width, dtype)(norm(x))
      hidden = nn.gelu(Dense(self.hidden, dtype=dtype)(norm(x)), approximate=False)
      x = x + Dense(width, dtype=dtype)(hidden)
      taps.append(x)
    x = norm(x[:, 0])
    logits = Dense(self.num_classes, dtype=dtype)(x)
    return Outputs(logits.astype(jnp.float32), features=(*taps, x))
