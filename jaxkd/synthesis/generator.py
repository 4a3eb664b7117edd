"""The engines that fit a generator's weights to a loss on its samples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, LossTerms, Variables

# (generator parameters, key) -> (what is minimised, its parts)
GeneratorLoss = Callable[[Variables, Array], tuple[Array, LossTerms]]
# (generator variables) -> (what is minimised, (its parts, the images))
BatchLoss = Callable[[Variables], tuple[Array, tuple[LossTerms, Array]]]
# (variables, key) -> (what is minimised, (its parts, what was made))
ViewLoss = Callable[[Variables, Array], tuple[Array, tuple[LossTerms, Any]]]
# (generator variables) -> (what is minimised, (what changed in them, more))
TrainLoss = Callable[[Variables], tuple[Array, tuple[Variables, Any]]]
Fitted = tuple[Variables, optax.OptState]


def fit(
  loss: GeneratorLoss,
  params: Variables,
  tx: optax.GradientTransformation,
  key: Array,
  num_steps: int,
) -> tuple[Variables, LossTerms]:
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


def update(
  loss: TrainLoss, start: Fitted, tx: optax.GradientTransformation
) -> tuple[Fitted, Any]:
  """One update of the parameters, and of the statistics beside them.

  Returns:
    The variables and optimiser state, and what else `loss` gave, which is of
    the generator before the update.
  """
  variables, opt_state = start

  def of_params(params: Variables):
    return loss({**variables, "params": params})

  grads, (changed, more) = jax.grad(of_params, has_aux=True)(
    variables["params"]
  )
  updates, opt_state = tx.update(grads, opt_state, variables["params"])
  params = optax.apply_updates(variables["params"], updates)
  return ({**variables, **changed, "params": params}, opt_state), more


def fit_batch(
  loss: BatchLoss,
  start: Fitted,
  tx: optax.GradientTransformation,
  num_steps: int,
) -> tuple[Fitted, Array, LossTerms]:
  """`num_steps` updates for one batch of latents, which `loss` holds fixed.

  Statistics that a generator keeps beside its parameters stay as they are: a
  generator in training normalises by the batch.

  Returns:
    The variables and optimiser state, the images with the lowest loss of all
    steps (those of `start` if there are none), and the terms of the last step.
  """
  return fit_augmented(
    lambda variables, key: loss(variables), start, tx, None, num_steps
  )


def fit_augmented(
  loss: ViewLoss,
  start: Fitted,
  tx: optax.GradientTransformation,
  key: Array | None,
  num_steps: int,
) -> tuple[Fitted, Any, LossTerms]:
  """`fit_batch` for a loss of random views: every step has a key of its own,
  unless `key` is None.

  What is made, and kept of the step with the lowest loss, may be any pytree of
  arrays.
  """

  def step(carry, step_key: Array | None):
    (variables, opt_state), lowest, best = carry

    def of_params(params: Variables):
      return loss({**variables, "params": params}, step_key)

    (value, (terms, made)), grads = jax.value_and_grad(of_params, has_aux=True)(
      variables["params"]
    )
    updates, opt_state = tx.update(grads, opt_state, variables["params"])
    params = optax.apply_updates(variables["params"], updates)
    best = jax.tree.map(
      lambda new, kept: jnp.where(value < lowest, new, kept), made, best
    )
    fitted = ({**variables, "params": params}, opt_state)
    return (fitted, jnp.minimum(value, lowest), best), terms

  if not num_steps:
    terms, made = loss(start[0], key)[1]
    return start, made, terms
  shapes = jax.eval_shape(loss, start[0], key)[1][1]
  nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  keys = None if key is None else jax.random.split(key, num_steps)
  (fitted, _, best), terms = jax.lax.scan(
    step, (start, jnp.array(jnp.inf), nothing), keys, num_steps
  )
  return fitted, best, jax.tree.map(lambda term: term[-1], terms)
