"""Contrastive losses over pairs of samples, without a matrix of all pairs."""

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxkd.losses._numerics import cross_entropy, full_precision


def _centred(x: jax.Array, axis: int) -> jax.Array:
  """Subtracts the mean over `axis`.

  One sample is subtracted first, so that equal samples give exact zeros and an
  offset common to all of them costs no precision.
  """
  x = full_precision(x)
  x = x - jax.lax.slice_in_dim(x, 0, 1, axis=axis)
  return x - x.mean(axis=axis, keepdims=True)


@jax.jit
def contrastive_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Penalises the distance of the logits of samples of different classes.

      mean over pairs with y_i != y_j of ||f_i - f_j||^2

  With centred logits, n_c samples in class c and their sum s_c, the sum over
  ordered pairs is 2 (sum_i (N - n_{y_i}) ||f_i||^2 + sum_c ||s_c||^2): O(N K)
  operations, and no term is negative.

  Args:
    logits: `[N, K]` of one set.
    labels: `[N]` integers in [0, K).

  Returns:
    A float32 scalar in squared logits; 0 if all samples have one class.

  Example:
    >>> logits = jnp.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    >>> contrastive_loss(logits, jnp.array([0, 1, 1]))
    Array(25., dtype=float32)

  Braun, Mundt, Kersting, "Deep Classifier Mimicry without Data Access",
  AISTATS 2024. The pair term is the paper's, the mean is ours; the released
  code computes `grouped_contrastive_loss`, to which its weights belong.
  """
  chex.assert_rank(logits, 2)
  chex.assert_shape(labels, logits.shape[:1])
  chex.assert_type(labels, int)
  f = _centred(logits, axis=0)
  num_samples, num_classes = f.shape
  counts = jnp.bincount(labels, length=num_classes).astype(f.dtype)
  partners = num_samples - counts[labels]
  class_sums = jax.ops.segment_sum(f, labels, num_segments=num_classes)
  total = 2.0 * (jnp.sum(partners[:, None] * f**2) + jnp.sum(class_sums**2))
  pairs = partners.sum()
  return jnp.where(pairs > 0, total / jnp.maximum(pairs, 1.0), 0.0)


@jax.jit
def grouped_contrastive_loss(logits: jax.Array) -> jax.Array:
  """CAKE's contrastive loss: over pairs inside groups of distinct classes.

      1 / (B K) sum_b sum_{g<h} ||f_bg - f_bh||^2
        = G / (B K) sum_b sum_g ||f_bg - mean_h f_bh||^2

  Args:
    logits: `[B, G, K]` of one set: B groups of G samples, whose classes
      differ.

  Returns:
    A float32 scalar in squared logits.

  Example:
    >>> grouped_contrastive_loss(jnp.array([[[0.0, 0.0], [3.0, 4.0]]]))
    Array(12.5, dtype=float32)

  Braun, Mundt, Kersting, "Deep Classifier Mimicry without Data Access",
  AISTATS 2024, in the form of the released code: the paper has all pairs of
  the set, and no division by K. The code's weights (1e-3 or 10) belong here.
  """
  chex.assert_rank(logits, 3)
  num_groups, group_size, num_classes = logits.shape
  spread = jnp.sum(_centred(logits, axis=1) ** 2)
  return spread * (group_size / (num_groups * num_classes))


@jax.jit
def instance_discrimination_loss(
  anchors: jax.Array, candidates: jax.Array, *, temperature: ArrayLike
) -> jax.Array:
  """InfoNCE: classifies each anchor's own candidate among all candidates.

      -ln softmax_j(<anchor_i, candidate_j> / t) at j = i

  Args:
    anchors: `[N, D]`, rows of unit length in the paper.
    candidates: `[M, D]` with M >= N, of unit length too; row i < N is the
      positive of anchor i, all other rows are its negatives. No gradient flows
      through them.
    temperature: t, a scalar.

  Returns:
    `[N]` float32, nats per anchor.

  Example:
    >>> views = jnp.eye(2)
    >>> loss = instance_discrimination_loss(views, views, temperature=1.0)
    >>> print(f"{loss[0]:.4f}")  # ln(1 + 1 / e)
    0.3133

  Fang et al., "Contrastive Model Inversion for Data-Free Knowledge
  Distillation", IJCAI 2021. Its code adds the mean over the batch and the mean
  over the memory bank, which the caller does.
  """
  chex.assert_rank([anchors, candidates], 2)
  chex.assert_equal_shape_suffix([anchors, candidates], 1)
  chex.assert_rank(temperature, 0)
  chex.assert_axis_dimension_gteq(candidates, 0, anchors.shape[0])
  anchors = full_precision(anchors)
  candidates = jax.lax.stop_gradient(full_precision(candidates))
  # Accelerators multiply in lower precision by default.
  similarity = jnp.matmul(anchors, candidates.T, precision="highest")
  logits = similarity / jnp.asarray(temperature, similarity.dtype)
  return cross_entropy(logits, jnp.arange(anchors.shape[0]))
