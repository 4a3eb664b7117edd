"""Where samples start: p(x), p(y), and the space that they live in; and what is
wanted of whole batches as images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, DataSpec


def normal(key: Array, count: int, spec: DataSpec) -> Array:
  """Standard normal inputs in the normalised space, `[count, *spec.shape]`."""
  return jax.random.normal(key, (count, *spec.shape))


def distinct_labels(
  key: Array, num_groups: int, group_size: int, num_classes: int
) -> Array:
  """Labels `[num_groups, group_size]` int32, all different inside a group.

  Each group is the start of a random permutation of the classes, so with
  `group_size == num_classes` every class is drawn equally often.
  """
  keys = jax.random.split(key, num_groups)
  orders = jax.vmap(lambda k: jax.random.permutation(k, num_classes))(keys)
  return orders[:, :group_size].astype(jnp.int32)


def cycled_labels(count: int, num_classes: int) -> Array:
  """Labels `[count]` int32: the classes in turn."""
  return jnp.arange(count, dtype=jnp.int32) % num_classes


def frobenius_norm(images: Array) -> Array:
  """Length of a batch `[N, H, W, C]` as one vector; its slope at 0 is 0."""
  return optax.safe_norm(images, 0.0)


def frobenius_variation(images: Array) -> Array:
  """Total variation as in DeepInversion's code: the sum, over the neighbours in
  four directions (two are diagonal), of the length of all differences in the
  batch `[N, H, W, C]`. It grows with the root of N.
  """
  return sum(map(frobenius_norm, _differences(images)))


def absolute_variation(images: Array) -> Array:
  """Total variation as in DataFree's DeepInversion: likewise, the means of the
  absolute differences.
  """
  # Not jnp.abs, whose slope at 0 is 1: flat images are to stay as they are.
  return sum(
    jnp.mean(each * jax.lax.stop_gradient(jnp.sign(each)))
    for each in _differences(images)
  )


def _differences(x: Array) -> tuple[Array, ...]:
  return (
    x[:, :, 1:] - x[:, :, :-1],
    x[:, 1:] - x[:, :-1],
    x[:, 1:, :-1] - x[:, :-1, 1:],
    x[:, 1:, 1:] - x[:, :-1, :-1],
  )


class ToneParams(NamedTuple):
  """How light and how contrasty each of N images is.

  Attributes:
    level: `[N]` mean pixel, about.
    gain: `[N]` 1 is soft, 8 nearly black and white.
  """

  level: Array
  gain: Array


def random_tones(key: Array, count: int) -> ToneParams:
  """Dark to light and soft to hard: nobody knows what the data are like."""
  level_key, gain_key = jax.random.split(key)
  return ToneParams(
    jax.random.uniform(level_key, (count,), minval=0.05, maxval=0.95),
    2.0 ** jax.random.uniform(gain_key, (count,), maxval=3.0),
  )


def apply_tone(pre: Array, tones: ToneParams) -> Array:
  """`pre [N, H, W, C]` as pixels in (0, 1) of the given tones.

  Every image is standardised to z and becomes Phi(gain (z - shift)), with the
  shift that gives a normal z the mean pixel `level`.
  """
  axes = tuple(range(1, pre.ndim))
  z = jax.nn.standardize(pre, axes, epsilon=1e-8)
  level, gain = (jnp.expand_dims(leaf, axes) for leaf in tones)
  quantile = jax.scipy.stats.norm.ppf(level)
  return jax.scipy.stats.norm.cdf(
    gain * z + quantile * jnp.sqrt(1 + jnp.square(gain))
  )
