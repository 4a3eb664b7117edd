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


def magnitude(x: jax.Array) -> jax.Array:
  """|x| with slope 0 at 0, where that of `jnp.abs` is 1.

  Flat images and silent units stay as they are, as in PyTorch.
  """
  x = full_precision(x)
  return x * jax.lax.stop_gradient(jnp.sign(x))


def shifted(logits: jax.Array) -> jax.Array:
  """Logits with the greatest of each example at 0, which softmax cannot tell.

  Before any other arithmetic: an offset that is common to all classes would
  cost digits (at 1e4 the steps of float32 are 1e-3).
  """
  logits = full_precision(logits)
  return logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))


def log_softmax(logits: jax.Array, temperature: ArrayLike = 1.0) -> jax.Array:
  """Log-probabilities: ln softmax(logits / temperature), `[..., K]`."""
  # A temperature [B] would divide the classes of a square batch unnoticed.
  chex.assert_rank(temperature, 0)
  logits = shifted(logits)
  return jax.nn.log_softmax(logits / jnp.asarray(temperature, logits.dtype))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-ln softmax(logits)[label], `[...]`."""
  chex.assert_shape(labels, logits.shape[:-1])
  chex.assert_type(labels, int)
  return optax.softmax_cross_entropy_with_integer_labels(
    shifted(logits), labels
  )


def kl_divergence(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
  """KL(p || q) = sum_k p_k ln(p_k / q_k) of normalised log-probs, `[...]`.

  The sum as it stands is right to about 1e-7, too little at the temperatures
  of the field: for logits of unit variance it is near t^-2, and t^2 times it
  is wrong by 1e-3 of the value at t = 20, by 3e-2 at t = 200. With
  r_k = ln(p_k / q_k) - KL it equals ln(sum_k p_k exp(-r_k)), whose terms
  shrink as p and q meet: 6e-6 and 5e-5.
  """
  p = jnp.exp(log_p)
  ratio = log_p - log_q
  # 0 ln 0 = 0, also where a class was ruled out with a logit of -inf.
  plain = jnp.sum(p * jnp.where(p > 0, ratio, 0.0), axis=-1)
  near = jnp.all(jnp.abs(ratio) < 20.0, axis=-1)
  rest = jnp.where(near[..., None], ratio - plain[..., None], 0.0)
  accurate = jnp.log1p(jnp.sum(p * jnp.expm1(-rest), axis=-1))
  return jnp.where(near, accurate, plain)
