"""Cross entropies for a store whose classes are not equally frequent."""

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxkd.losses._numerics import cross_entropy, full_precision, shifted


def _seen(class_counts, logits):
  """Counts, `[K]`; a class without samples counts as one seen once."""
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
  """Label-distribution-aware margin: rare classes must win by more.

      CE(scale (logits - margin_y onehot(y)), y)
      margin_c = max_margin (min_j n_j / n_c)^(1/4)

  Args:
    logits: `[..., K]`.
    labels: `[...]` integers.
    class_counts: n, `[K]`; a class without samples counts as one seen once.
    max_margin: margin of the rarest class, a scalar, in logits.
    scale: a scalar.

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
  here. On free logits a scale of 30 saturates soon.
  """
  counts = _seen(class_counts, logits)
  margins = full_precision(max_margin) * (counts.min() / counts) ** 0.25
  onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=margins.dtype)
  logits = shifted(logits) - onehot * margins[labels][..., None]
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

  with p_k the probability that sigmoid k gives to what is true of class k.

  Args:
    logits: `[..., K]`.
    labels: `[...]` integers.
    class_counts: n, `[K]`; a class without samples counts as one seen once.
    beta: in [0, 1), a scalar: 0 weighs all classes alike, near 1 by 1 / n.
    gamma: at least 0, a scalar: how much less the easy samples weigh.

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
  # 1 - beta first, in double precision if beta is a Python number: 0.9999 in
  # float32 is right to four digits of what matters, its distance from 1.
  log_beta = jnp.log1p(-full_precision(1 - beta))
  return _weighted_focal(logits, labels, class_counts, log_beta, gamma)


@jax.jit
def _weighted_focal(logits, labels, class_counts, log_beta, gamma):
  chex.assert_shape(labels, logits.shape[:-1])
  chex.assert_type(labels, int)
  weights = -1.0 / jnp.expm1(_seen(class_counts, logits) * log_beta)
  weights = weights / weights.mean()
  logits = full_precision(logits)
  onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  evidence = jnp.where(onehot, logits, -logits)
  # In logarithms: as a power, (1 - p)^gamma has an infinite slope at p = 1
  # for gamma < 1.
  easiness = jnp.exp(full_precision(gamma) * jax.nn.log_sigmoid(-evidence))
  focal = -jnp.sum(easiness * jax.nn.log_sigmoid(evidence), axis=-1)
  return weights[labels] * focal
