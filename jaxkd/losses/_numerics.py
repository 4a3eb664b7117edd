"""Softmax arithmetic that the kernels share.

All kernels count in float32 (float64 where they are given it) and return
that, whatever the precision of the network: in bfloat16 a sum over classes
or samples keeps two digits.
"""

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import optax


def full_precision(x: ArrayLike) -> jax.Array:
  """Casts to float32, unless `x` is float64."""
  x = jnp.asarray(x)
  return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def log_softmax(logits: jax.Array, temperature: ArrayLike = 1.0) -> jax.Array:
  """Log-probabilities: ln softmax(logits / temperature), `[..., K]`."""
  # A temperature [B] would divide the classes of a square batch unnoticed.
  chex.assert_rank(temperature, 0)
  logits = full_precision(logits)
  return jax.nn.log_softmax(logits / jnp.asarray(temperature, logits.dtype))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-ln softmax(logits)[label], `[...]`."""
  chex.assert_shape(labels, logits.shape[:-1])
  chex.assert_type(labels, int)
  logits = full_precision(logits)
  # Without the shift an offset common to all classes costs digits: at 1e4
  # float32 has steps of 1e-3.
  shift = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
  return optax.softmax_cross_entropy_with_integer_labels(logits - shift, labels)


def kl_divergence(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
  """KL(p || q) = sum_k p_k ln(p_k / q_k) of normalised log-probs, `[...]`.

  The sum as it is written is right to 1e-7 absolute, which is nothing at the
  temperatures of the field: at t = 20 the divergence of two networks is about
  1e-3, and it is multiplied by t^2. With r_k = ln(p_k / q_k) - KL it equals
  ln(sum_k p_k exp(-r_k)), whose terms are small where p and q are near.
  """
  p = jnp.exp(log_p)
  ratio = log_p - log_q
  # 0 ln 0 = 0, also where a class was ruled out with a logit of -inf.
  plain = jnp.sum(p * jnp.where(p > 0, ratio, 0.0), axis=-1)
  near = jnp.all(jnp.abs(ratio) < 20.0, axis=-1)
  rest = jnp.where(near[..., None], ratio - plain[..., None], 0.0)
  accurate = jnp.log1p(jnp.sum(p * jnp.expm1(-rest), axis=-1))
  return jnp.where(near, accurate, plain)
