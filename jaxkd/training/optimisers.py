"""Optimisers and schedules from a block of the config; Langevin dynamics."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxkd.types import Array, JaxkdError

OPTIMISERS = ("sgd", "adam")
SCHEDULES = ("constant", "one_cycle", "multistep", "cosine")
RISE = 0.3  # fraction of a cycle's steps before its peak, as PyTorch's default


def cosine_cycle(
  total_steps: int, start: float, peak: float, end: float
) -> optax.Schedule:
  """Returns a schedule from `start` to `peak` and on to `end`.

  It rises over the fraction `RISE` of the steps. Both arcs are half cosines
  with the corner points of PyTorch's OneCycleLR: the peak falls on step
  `RISE * total_steps - 1`, the end on the last step.

  `optax.cosine_onecycle_schedule` is not used because it is a different curve:
  its peak falls on step `RISE * total_steps` and its end on the step after the
  last, so the two differ by 3 % of the peak where a run has 100 steps. Nor can
  it fall first and rise again, as the momentum must.
  """
  top = max(RISE * total_steps - 1, 1e-6)
  last = max(total_steps - 1, top + 1e-6)

  def schedule(step: Array) -> Array:
    def arc(a: float, b: float, fraction: Array) -> Array:
      fraction = jnp.clip(fraction, 0, 1)
      return b + (a - b) / 2 * (1 + jnp.cos(jnp.pi * fraction))

    rising = arc(start, peak, step / top)
    falling = arc(peak, end, (step - top) / (last - top))
    return jnp.where(step <= top, rising, falling)

  return schedule


def learning_rate(block, steps_per_epoch: int, epochs: int) -> optax.Schedule:
  """Returns the schedule `block.schedule` of the rate `block.learning_rate`.

  `multistep` multiplies by `block.factor` at the start of each 0-based epoch
  in `block.milestones`; `one_cycle` starts at 1/25 of the peak and ends at
  1/250,000 of it.

  Raises:
    JaxkdError: if there is no such schedule.
  """
  rate, total = block.learning_rate, steps_per_epoch * epochs
  if block.schedule == "constant":
    return optax.constant_schedule(rate)
  if block.schedule == "one_cycle":
    return cosine_cycle(total, rate / 25, rate, rate / 25e4)
  if block.schedule == "cosine":
    return optax.cosine_decay_schedule(rate, max(total, 1))
  if block.schedule == "multistep":
    drops = {
      epoch * steps_per_epoch: block.factor for epoch in block.milestones
    }
    return optax.piecewise_constant_schedule(rate, drops)
  raise JaxkdError(
    f"Unknown optimizer.schedule {block.schedule!r}; choose one of "
    f"{', '.join(SCHEDULES)}."
  )


def optimiser(
  block, steps_per_epoch: int, epochs: int
) -> optax.GradientTransformation:
  """Returns the optimiser that a block of the config describes.

  The block has `name`, `learning_rate`, `schedule`, `momentum`, `weight_decay`,
  `milestones`, `factor` and `clip_norm`. A `clip_norm` above 0 limits the norm
  of the gradient. Weight decay is coupled (added to the gradient before
  momentum or Adam's averages), on all parameters, as in the published code.
  With `one_cycle` SGD's momentum cycles .95, .85, .95 against the rate, which
  replaces `block.momentum`.

  Raises:
    JaxkdError: if there is no such optimiser or schedule.
  """
  rate = learning_rate(block, steps_per_epoch, epochs)
  if block.name == "adam":
    update = optax.adam(rate)
  elif block.name == "sgd":
    momentum: float | optax.Schedule = block.momentum
    if block.schedule == "one_cycle":
      momentum = cosine_cycle(steps_per_epoch * epochs, 0.95, 0.85, 0.95)
    update = optax.inject_hyperparams(optax.sgd)(rate, momentum)
  else:
    raise JaxkdError(
      f"Unknown optimizer.name {block.name!r}; choose one of "
      f"{', '.join(OPTIMISERS)}."
    )
  decayed = optax.chain(optax.add_decayed_weights(block.weight_decay), update)
  if block.clip_norm:
    return optax.chain(optax.clip_by_global_norm(block.clip_norm), decayed)
  return decayed


def generator_optimiser(
  fields: dict[str, Any], num_updates: int
) -> optax.GradientTransformation:
  """Returns the `optimiser` of a generator, whose updates are one epoch.

  So `milestones` are fractions of all updates.

  Args:
    fields: of the block that `optimiser` takes.
    num_updates: in all rounds.
  """
  return optimiser(SimpleNamespace(**fields), num_updates, 1)


def step_sizes(num_sets: int, step_size: float, decades: float) -> Array:
  """Returns CAKE's step size of each set, `[num_sets]`.

  It falls log-linearly over the sets by `decades` powers of ten, the last one
  excluded.
  """
  fraction = jnp.arange(num_sets) / num_sets
  return step_size * 10.0 ** (-decades * fraction)


def langevin(
  step_size: Array, key: Array, temperature: Array | float = 1.0
) -> optax.GradientTransformation:
  """Returns unadjusted Langevin dynamics: `x - eta grad + sqrt(2 eta T) noise`.

  Args:
    step_size: eta, a scalar that may be traced.
    key: of the noise, which is standard normal.
    temperature: T, likewise.
  """

  def init(params) -> Array:
    del params
    return key

  def update(grads, state: Array, params=None):
    del params
    state, draw = jax.random.split(state)
    noise = optax.tree.random_like(draw, grads, jax.random.normal)
    scale = jnp.sqrt(2 * step_size * temperature)
    return jax.tree.map(
      lambda g, n: -step_size * g + scale * n, grads, noise
    ), state

  return optax.GradientTransformation(init, update)


DYNAMICS: dict[str, Callable[..., optax.GradientTransformation]] = {
  "sgd": lambda step_size, key, temperature=1.0: optax.sgd(step_size),
  "langevin": langevin,
}
