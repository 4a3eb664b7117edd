"""Priors of synthetic images, which need no student."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import optax

from jaxkd.losses._numerics import full_precision, log_softmax, magnitude


@jax.jit
def total_variation(images: jax.Array) -> jax.Array:
  """Mean absolute difference of vertical, plus of horizontal, neighbours.

      mean_{h,w,c} |x[h+1, w, c] - x[h, w, c]|
        + mean_{h,w,c} |x[h, w+1, c] - x[h, w, c]|

  Args:
    images: `[..., H, W, C]`.

  Returns:
    `[...]` float32 per image, in the unit of the pixels. An axis of one pixel
    adds 0.

  Example:
    >>> image = jnp.array([[0.0, 1.0], [2.0, 5.0]])[..., None]
    >>> total_variation(image)  # (2 + 4) / 2 + (1 + 3) / 2
    Array(5., dtype=float32)

  Braun, Mundt, Kersting, "Deep Classifier Mimicry without Data Access",
  AISTATS 2024. The paper prints a sum, the code takes the two means, each over
  its own number of differences; the published weights (1e5, 1e7) are for this.
  """
  images = full_precision(images)
  *leading, height, width, channels = images.shape
  # An axis of one channel would make these sums 20 times slower on the CPU.
  rows = images.reshape(*leading, height, width * channels)
  vertical = magnitude(rows[..., 1:, :] - rows[..., :-1, :])
  horizontal = magnitude(rows[..., channels:] - rows[..., :-channels])
  return vertical.sum((-2, -1)) / max(1, (height - 1) * width * channels) + (
    horizontal.sum((-2, -1)) / max(1, height * (width - 1) * channels)
  )


@jax.jit
def class_balance_loss(logits: jax.Array) -> jax.Array:
  """Negative entropy of the mean prediction: minimal for balanced classes.

      (1/K) sum_k q_k ln q_k with q = mean_n softmax(logits_n)

  Args:
    logits: `[N, K]` of one set.

  Returns:
    A float32 scalar in [-ln K / K, 0], nats per class.

  Example:
    >>> logits = jnp.array([[9e3, 0.0], [0.0, 9e3]])
    >>> print(f"{class_balance_loss(logits):.4f}")  # -ln 2 / 2
    -0.3466

  Zhang et al., "IDEAL: Query-Efficient Data-Free Learning from Black-Box
  Models", ICLR 2023, equation 5; its released code computes `entropy_loss`.
  DAFL (Chen et al., ICCV 2019) has K / ln 10 times this, a sum in base 10;
  DataFree's DAFL has K times this.
  """
  chex.assert_rank(logits, 2)
  # In logarithms, since q underflows for a class that is never predicted.
  log_q = jax.nn.logsumexp(log_softmax(logits), axis=0)
  log_q = log_q - jnp.log(jnp.asarray(logits.shape[0], log_q.dtype))
  return jnp.mean(jnp.exp(log_q) * log_q)


@jax.jit
def entropy_loss(logits: jax.Array) -> jax.Array:
  """Negative entropy of each prediction: minimal for the uniform one.

      (1/K) sum_k p_k ln p_k with p = softmax(logits)

  Args:
    logits: `[..., K]`.

  Returns:
    `[...]` float32, nats per class, in [-ln K / K, 0].

  Example:
    >>> print(f"{entropy_loss(jnp.zeros(2)):.4f}")  # -ln 2 / 2
    -0.3466

  The released code of IDEAL (Zhang et al., ICLR 2023): a penalty on
  confidence, where the paper prints `class_balance_loss`.
  """
  log_p = log_softmax(logits)
  return jnp.mean(jnp.exp(log_p) * log_p, axis=-1)


@jax.jit
def batch_norm_loss(
  means: Sequence[jax.Array],
  variances: Sequence[jax.Array],
  running_means: Sequence[jax.Array],
  running_variances: Sequence[jax.Array],
) -> jax.Array:
  """Distance of a batch's statistics from the teacher's running statistics.

      sum over layers of ||mean - running mean||_2 + ||var - running var||_2

  The norms are not squared; where a difference is zero, so is the gradient.

  Args:
    means: one `[D]` per layer (any pytree): means of the inputs of the batch
      normalisations over all axes but the last.
    variances: biased variances of the same inputs, one `[D]` per layer.
    running_means: the teacher's running means, one `[D]` per layer.
    running_variances: the teacher's running variances, one `[D]` per layer.

  Returns:
    A float32 scalar.

  Example:
    >>> zeros, ones = [jnp.zeros(2)], [jnp.ones(2)]
    >>> batch_norm_loss([jnp.array([3.0, 4.0])], ones, zeros, ones)
    Array(5., dtype=float32)

  Yin et al., "Dreaming to Distill: Data-free Knowledge Transfer via
  DeepInversion", CVPR 2020, R_feature. The code for ImageNet weighs the first
  layer ten times, see `first_batch_norm` of `configs/deepinversion.py`.
  """
  measured = jax.tree.leaves((means, variances))
  stored = jax.tree.leaves((running_means, running_variances))
  chex.assert_trees_all_equal_shapes(measured, stored)
  return sum(
    optax.safe_norm(full_precision(a) - full_precision(b), 0.0)
    for a, b in zip(measured, stored, strict=True)
  )


@jax.jit
def activation_loss(features: jax.Array) -> jax.Array:
  """Negative mean |features|: real inputs activate a network strongly.

  Args:
    features: `[N, D]`, in the paper those before the last layer.

  Returns:
    A float32 scalar, at most 0 and not bounded below.

  Example:
    >>> activation_loss(jnp.array([[1.0, -3.0]]))
    Array(-2., dtype=float32)

  Chen et al., "Data-Free Learning of Student Networks" (DAFL), ICCV 2019.
  """
  chex.assert_rank(features, 2)
  return -jnp.mean(magnitude(features))
