"""The engine that fits a generator's weights to a loss on its samples."""

from collections.abc import Callable

import jax
import optax

from jaxkd.types import Array, Terms, Variables

# (generator parameters, key) -> (what is minimised, its parts)
GeneratorLoss = Callable[[Variables, Array], tuple[Array, Terms]]


def fit(
  loss: GeneratorLoss,
  params: Variables,
  tx: optax.GradientTransformation,
  key: Array,
  num_steps: int,
) -> tuple[Variables, Terms]:
  """`num_steps` updates in one scan, each with a key of its own.

  Returns:
    The parameters and the terms of the last step.
  """

  def step(carry, step_key: Array):
    params, opt_state = carry
    grads, terms = jax.grad(loss, has_aux=True)(params, step_key)
    updates, opt_state = tx.update(grads, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), terms

  carry = (params, tx.init(params))
  keys = jax.random.split(key, num_steps)
  (params, _), terms = jax.lax.scan(step, carry, keys)
  return params, jax.tree.map(lambda term: term[-1], terms)
