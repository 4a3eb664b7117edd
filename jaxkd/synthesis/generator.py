"""The engines that fit a generator to a loss of what it makes."""

from collections.abc import Callable
from typing import NamedTuple

from chex import ArrayTree
import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, LossTerms, Variables

# (generator parameters, key) -> (what is minimised, its terms)
GeneratorLoss = Callable[[Variables, Array], tuple[Array, LossTerms]]
# (generator variables) -> (what is minimised, (its terms, the images))
BatchLoss = Callable[[Variables], tuple[Array, tuple[LossTerms, Array]]]
# (variables, key) -> (what is minimised, (its terms, an output))
ViewLoss = Callable[
  [Variables, Array], tuple[Array, tuple[LossTerms, ArrayTree]]
]
# (generator variables) -> (what is minimised, (what changed in them, more))
TrainLoss = Callable[[Variables], tuple[Array, tuple[Variables, ArrayTree]]]


class GeneratorState(NamedTuple):
  """A generator in training.

  Attributes:
    variables: its parameters, and the statistics beside them.
    opt_state: of its optimiser.
  """

  variables: Variables
  opt_state: optax.OptState


def init_state(
  variables: Variables, tx: optax.GradientTransformation
) -> GeneratorState:
  """Returns the state before the first update."""
  return GeneratorState(variables, tx.init(variables["params"]))


def fit(
  loss: GeneratorLoss,
  params: Variables,
  tx: optax.GradientTransformation,
  key: Array,
  num_steps: int,
) -> tuple[Variables, LossTerms]:
  """Makes `num_steps` updates in one scan, each with a key of its own.

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
  loss: TrainLoss, state: GeneratorState, tx: optax.GradientTransformation
) -> tuple[GeneratorState, ArrayTree]:
  """Makes one update of the parameters, and of the statistics beside them.

  Returns:
    The state, and what `loss` returned besides, before the update.
  """
  variables, opt_state = state

  def of_params(params: Variables):
    return loss({**variables, "params": params})

  grads, (changed, more) = jax.grad(of_params, has_aux=True)(
    variables["params"]
  )
  updates, opt_state = tx.update(grads, opt_state, variables["params"])
  params = optax.apply_updates(variables["params"], updates)
  variables = {**variables, **changed, "params": params}
  return GeneratorState(variables, opt_state), more


def fit_batch(
  loss: BatchLoss,
  state: GeneratorState,
  tx: optax.GradientTransformation,
  num_steps: int,
) -> tuple[GeneratorState, Array, LossTerms]:
  """Makes `num_steps` updates for one batch of latents, fixed in `loss`.

  Statistics that a generator keeps beside its parameters stay as they are: a
  generator in training normalises by the batch.

  Returns:
    The state, the images with the lowest loss of all steps (those of `state`
    if there are no steps), and the terms of the last step.
  """
  return fit_augmented(
    lambda variables, key: loss(variables), state, tx, None, num_steps
  )


def fit_augmented(
  loss: ViewLoss,
  state: GeneratorState,
  tx: optax.GradientTransformation,
  key: Array | None,
  num_steps: int,
) -> tuple[GeneratorState, ArrayTree, LossTerms]:
  """Makes the updates of `fit_batch` for a loss of random views.

  Every step has a key of its own, unless `key` is None. The output, which is
  returned for the step with the lowest loss, may be any pytree of arrays.
  """

  def step(carry, step_key: Array | None):
    (variables, opt_state), lowest, best = carry

    def of_params(params: Variables):
      return loss({**variables, "params": params}, step_key)

    (value, (terms, output)), grads = jax.value_and_grad(
      of_params, has_aux=True
    )(variables["params"])
    updates, opt_state = tx.update(grads, opt_state, variables["params"])
    params = optax.apply_updates(variables["params"], updates)
    best = jax.tree.map(
      lambda new, old: jnp.where(value < lowest, new, old), output, best
    )
    state = GeneratorState({**variables, "params": params}, opt_state)
    return (state, jnp.minimum(value, lowest), best), terms

  if not num_steps:
    terms, output = loss(state.variables, key)[1]
    return state, output, terms
  shapes = jax.eval_shape(loss, state.variables, key)[1][1]
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  keys = None if key is None else jax.random.split(key, num_steps)
  (state, _, best), terms = jax.lax.scan(
    step, (state, jnp.array(jnp.inf), zeros), keys, num_steps
  )
  return state, best, jax.tree.map(lambda term: term[-1], terms)
