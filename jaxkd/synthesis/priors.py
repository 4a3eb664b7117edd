"""Priors of synthetic images and their labels: what they start as, smoothness,
and tone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, DataSpec


def normal(key: Array, count: int, spec: DataSpec) -> Array:
  """Draws standard normal inputs `[count, *spec.shape]`, normalised pixels."""
  return jax.random.normal(key, (count, *spec.shape))


def distinct_labels(
  key: Array, num_groups: int, group_size: int, num_classes: int
) -> Array:
  """Draws labels `[num_groups, group_size]`, all different inside a group.

  Each group is the start of a random permutation of the classes, so with
  `group_size == num_classes` every class is drawn equally often.
  """
  keys = jax.random.split(key, num_groups)
  orders = jax.vmap(lambda k: jax.random.permutation(k, num_classes))(keys)
  return orders[:, :group_size].astype(jnp.int32)


def cycled_labels(count: int, num_classes: int) -> Array:
  """Returns labels `[count]`, int32: the classes in turn."""
  return jnp.arange(count, dtype=jnp.int32) % num_classes


def balanced_labels(key: Array, count: int, num_classes: int) -> Array:
  """Draws labels `[count]` in random order, every class equally often.

  Frequencies differ by at most one; which classes are the rarer is random.
  """
  labels = jnp.arange(count) % num_classes
  if count % num_classes:
    key, class_key = jax.random.split(key)
    labels = jax.random.permutation(class_key, num_classes)[labels]
  return jax.random.permutation(key, labels)


def frobenius_norm(images: Array) -> Array:
  """Computes the length of a batch `[N, H, W, C]` as one vector.

  Its gradient at 0 is 0.
  """
  return optax.safe_norm(images, 0.0)


def frobenius_variation(images: Array) -> Array:
  """Computes total variation as in DeepInversion's code.

  It is the sum, over the neighbours in four directions (two are diagonal), of
  the length of all differences in the batch `[N, H, W, C]`. It grows with the
  square root of N.
  """
  return sum(map(frobenius_norm, _differences(images)))


def absolute_variation(images: Array) -> Array:
  """Computes total variation as in DataFree's DeepInversion.

  It is the sum, over the same neighbours, of the mean absolute difference.
  """
  # Not jnp.abs, whose gradient at 0 is 1: flat images are to have none.
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
  """Brightness and contrast of each of N images.

  Attributes:
    level: `[N]`, approximate mean pixel.
    gain: `[N]`, contrast: 1 is low, 8 is nearly black and white.
  """

  level: Array
  gain: Array


def random_tones(key: Array, count: int) -> ToneParams:
  """Draws tones from dark to light, with low to high contrast."""
  level_key, gain_key = jax.random.split(key)
  return ToneParams(
    jax.random.uniform(level_key, (count,), minval=0.05, maxval=0.95),
    2.0 ** jax.random.uniform(gain_key, (count,), maxval=3.0),
  )


def apply_tone(pre: Array, tones: ToneParams) -> Array:
  """Maps pre-activations `[N, H, W, C]` to pixels in (0, 1) of these tones.

  Every image is standardised to z and becomes Phi(gain (z - shift)), with the
  shift that gives a standard normal z the mean pixel `level`.
  """
  axes = tuple(range(1, pre.ndim))
  z = jax.nn.standardize(pre, axes, epsilon=1e-8)
  level, gain = (jnp.expand_dims(leaf, axes) for leaf in tones)
  quantile = jax.scipy.stats.norm.ppf(level)
  return jax.scipy.stats.norm.cdf(
    gain * z + quantile * jnp.sqrt(1 + jnp.square(gain))
  )
