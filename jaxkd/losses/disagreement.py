"""Distances of student and teacher, which generators maximise."""

from collections.abc import Sequence
import functools

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import optax

from jaxkd.losses._numerics import (
  full_precision,
  kl_divergence,
  log_softmax,
  magnitude,
)

KINDS = ("kl", "l1", "js")


@functools.partial(jax.jit, static_argnames="kind")
def disagreement_loss(
  student_logits: jax.Array,
  teacher_logits: jax.Array,
  *,
  kind: str = "kl",
  temperature: ArrayLike = 1.0,
) -> jax.Array:
  """Computes the distance of student and teacher, which images maximise.

      kl: KL(P || Q)                          summed over classes
      l1: mean_k |student_k - teacher_k| / t
      js: .5 KL(M || P) + .5 KL(M || Q)       M = (P + Q) / 2

  with P = softmax(teacher / t), Q = softmax(student / t). For `js` P, Q and M
  are clamped to [.01, .99] and not normalised again: not the true
  Jensen-Shannon divergence, and without gradient where both are confident.
  The gradient flows through both networks.

  Args:
    student_logits: `[..., K]`.
    teacher_logits: `[..., K]`.
    kind: `kl`, `l1` or `js`, static.
    temperature: t, a scalar; it divides the logits in every kind, and there is
      no t^2.

  Returns:
    `[...]` float32, nats per sample (`l1`: logits).

  Raises:
    ValueError: if `kind` is not one of these.

  Example:
    >>> student, teacher = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 0.0]])
    >>> disagreement_loss(student, teacher, kind="l1")
    Array([1.], dtype=float32)

  `kl`: MAZE (Kariyappa et al., CVPR 2021) and DataFree; ZSKT (Micaelli and
  Storkey, NeurIPS 2019) has 1 / K of it, by the mean over all elements in its
  code. `l1`: DFME (Truong et al., CVPR 2021), whose code feeds in ln softmax
  minus its mean over classes. `js`: Adaptive DeepInversion (Yin et al., CVPR
  2020), whose R_compete is 1 - clip(js, 0, 1); DataFree has -js.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  if kind == "l1":
    chex.assert_rank(temperature, 0)
    gap = full_precision(student_logits) - full_precision(teacher_logits)
    return jnp.mean(magnitude(gap), axis=-1) / full_precision(temperature)
  log_p = log_softmax(teacher_logits, temperature)
  log_q = log_softmax(student_logits, temperature)
  if kind == "kl":
    return kl_divergence(log_p, log_q)
  if kind == "js":
    return _clamped_js(jnp.exp(log_p), jnp.exp(log_q))
  raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}.")


def _clamped_js(p, q):
  p, q, m = (jnp.clip(x, 0.01, 0.99) for x in (p, q, (p + q) / 2))
  log_ratios = jnp.log(m) - (jnp.log(p) + jnp.log(q)) / 2
  return jnp.sum(m * log_ratios, axis=-1)


@jax.jit
def attention_transfer_loss(
  student_maps: Sequence[jax.Array], teacher_maps: Sequence[jax.Array]
) -> jax.Array:
  """Compares the spatial attention maps of student and teacher.

      sum over layers of mean_{n,h,w} (a(student) - a(teacher))^2
      a(A) = v / ||v||_2 per image, with v = mean over channels of A^2

  The scale of the activations does not matter; an image whose activations are
  all 0 has a = 0.

  Args:
    student_maps: activations, one `[N, H, W, C]` per layer (any pytree).
    teacher_maps: activations of the same layers; C may differ.

  Returns:
    A float32 scalar.

  Example:
    >>> left = jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    >>> attention_transfer_loss([left], [2 * left]).item()
    0.0
    >>> attention_transfer_loss([left], [1 - left]).item()
    1.0

  Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, as
  in the code of ZSKT (Micaelli and Storkey, NeurIPS 2019), which weighs it
  with 250.
  """
  pairs = zip(
    jax.tree.leaves(student_maps), jax.tree.leaves(teacher_maps), strict=True
  )
  return sum(
    jnp.mean((_attention(student) - _attention(teacher)) ** 2)
    for student, teacher in pairs
  )


def _attention(maps):
  chex.assert_rank(maps, 4)
  energy = jnp.mean(full_precision(maps) ** 2, axis=-1, keepdims=True)
  energy = energy.reshape(energy.shape[0], -1)
  norm = optax.safe_norm(energy, 1e-12, axis=-1, keepdims=True)
  return energy / norm
