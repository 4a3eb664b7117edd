"""Cross entropies for samples whose classes are not equally frequent."""

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxkd.losses._numerics import cross_entropy, full_precision, subtract_max


def _positive_counts(class_counts, logits):
  """Counts `[K]`, at least 1: an empty class is treated as one of 1 sample."""
  chex.assert_shape(class_counts, logits.shape[-1:])
  dtype = full_precision(logits).dtype
  return jnp.maximum(jnp.asarray(class_counts, dtype), 1.0)


@jax.jit
def ldam_loss(
  logits: jax.Array,
  labels: jax.Array,
  *,
  class_counts: jax.Array,
  max_margin: ArrayLike = 0.5,
  scale: ArrayLike = 30.0,
) -> jax.Array:
  """Label-distribution-aware margin loss: rarer classes get larger margins.

      CE(scale (logits - margin_y onehot(y)), y)
      margin_c = max_margin (min_j n_j / n_c)^(1/4)

  Args:
    logits: `[..., K]`.
    labels: `[...]` integers.
    class_counts: n, `[K]`; a class without samples is treated as one of 1.
    max_margin: margin of the rarest class in logits, a scalar.
    scale: factor of the logits, a scalar.

  Returns:
    `[...]` float32, nats per sample.

  Example:
    >>> logits, label = jnp.array([0.25, 0.0]), jnp.array(0)
    >>> counts = jnp.array([16, 1])
    >>> loss = ldam_loss(logits, label, class_counts=counts, scale=1.0)
    >>> print(f"{loss:.4f}")  # ln 2: the margin of class 0 is 0.5 / 16^(1/4)
    0.6931

  Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
  Margin Loss", NeurIPS 2019, with the code's defaults. There the logits are
  cosines and the classes are reweighted late in training; neither is done
  here. On unbounded logits a scale of 30 saturates soon.
  """
  counts = _positive_counts(class_counts, logits)
  margins = full_precision(max_margin) * (counts.min() / counts) ** 0.25
  onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=margins.dtype)
  logits = subtract_max(logits) - onehot * margins[labels][..., None]
  return cross_entropy(full_precision(scale) * logits, labels)


def class_balanced_focal_loss(
  logits: jax.Array,
  labels: jax.Array,
  *,
  class_counts: jax.Array,
  beta: ArrayLike = 0.9999,
  gamma: ArrayLike = 2.0,
) -> jax.Array:
  """Focal loss of K sigmoids, weighted by the effective number of samples.

      w_y sum_k (1 - p_k)^gamma (-ln p_k)
      w_c = (1 - beta) / (1 - beta^n_c), scaled so that they sum to K

  where p_k is sigmoid(z_k) for the true class and 1 - sigmoid(z_k) for others.

  Args:
    logits: `[..., K]`.
    labels: `[...]` integers.
    class_counts: n, `[K]`; a class without samples is treated as one of 1.
    beta: a scalar in [0, 1): with 0 all classes have the same weight, near 1
      they have the weight 1 / n.
    gamma: a scalar of at least 0, by which easy samples are weighted down.

  Returns:
    `[...]` float32, nats per sample.

  Example:
    >>> logits, label = jnp.array([0.0, 0.0]), jnp.array(0)
    >>> counts = jnp.array([9, 9])
    >>> loss = class_balanced_focal_loss(logits, label, class_counts=counts)
    >>> print(f"{loss:.4f}")  # 2 (1/2)^2 ln 2
    0.3466

  Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR
  2019; the focal loss is that of Lin et al., ICCV 2017. The code divides the
  sum over a batch by its size, as a mean over this does.
  """
  # 1 - beta comes first, in double precision if beta is a Python number: the
  # float32 closest to 0.9999 has 1 - beta right to only four digits.
  log_beta = jnp.log1p(-full_precision(1 - beta))
  return _weighted_focal(logits, labels, class_counts, log_beta, gamma)


@jax.jit
def _weighted_focal(logits, labels, class_counts, log_beta, gamma):
  chex.assert_shape(labels, logits.shape[:-1])
  chex.assert_type(labels, int)
  counts = _positive_counts(class_counts, logits)
  weights = -1.0 / jnp.expm1(counts * log_beta)
  weights = weights / weights.mean()
  logits = full_precision(logits)
  onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  evidence = jnp.where(onehot, logits, -logits)
  # In logarithms, because as a power (1 - p)^gamma has an infinite gradient at
  # p = 1 for gamma < 1.
  easiness = jnp.exp(full_precision(gamma) * jax.nn.log_sigmoid(-evidence))
  focal = -jnp.sum(easiness * jax.nn.log_sigmoid(evidence), axis=-1)
  return weights[labels] * focal
