"""Where samples start: p(x), p(y), and the space that they live in."""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp
from scipy import optimize, stats

from jaxkd.types import Array, DataSpec, JaxkdError


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


def to_pixels(inputs: Array, spec: DataSpec) -> Array:
  """From the normalised space to pixel space; not clipped."""
  return inputs * jnp.asarray(spec.std) + jnp.asarray(spec.mean)


def tones(mean: float, spread: float) -> Callable[[Array], Array]:
  """`pre [N, H, W, C] -> pixels` in (0, 1) of the given mean and spread.

  Every image is standardised to z, and its pixels are Phi(gain (z - shift)),
  where gain and shift are those that give normal z this mean and standard
  deviation: light strokes on black for those of digits, mid tones for those of
  photographs.

  Raises:
    JaxkdError: if no pixels in [0, 1] have this mean and standard deviation.
  """
  if not (0 < mean < 1 and 0 < spread**2 < mean * (1 - mean)):
    raise JaxkdError(
      f"synthesis.tones=({mean:g}, {spread:g}): pixels in [0, 1] can't have "
      "this mean and standard deviation; choose others, or () for none."
    )
  level = stats.norm.ppf(mean)

  def excess(correlation: float) -> float:
    both = stats.multivariate_normal.cdf(
      (level, level), cov=((1, correlation), (correlation, 1))
    )
    return both - mean**2 - spread**2

  correlation = optimize.brentq(excess, 0.0, 1 - 1e-6)
  gain = math.sqrt(correlation / (1 - correlation))
  shift = -level * math.sqrt(1 + gain**2) / gain

  def pixels(pre: Array) -> Array:
    axes = tuple(range(1, pre.ndim))
    z = jax.nn.standardize(pre, axes, epsilon=1e-8)
    return jax.scipy.stats.norm.cdf(gain * (z - shift))

  return pixels
