"""Phases and costs of boundary searches, for methods that walk along it."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxkd.data.labels import hard_labels
from jaxkd.synthesis import boundary, noise_pool
from jaxkd.training import sample_store as stores
from jaxkd.types import Array, DataSpec, JaxkdError, Networks, Phase, Samples


def noise_phase(count: int, repeats: int, spec: DataSpec) -> Phase:
  """Returns a phase that asks about noise, and inserts it into the pool.

  The state of the method is a dict, in which `pool` is a `NoisePool`.

  Args:
    count: images in a question.
    repeats: questions in a round.
    spec: of the inputs.
  """

  def ask(state, nets: Networks, key: Array):
    del nets
    return state, stores.unlabelled(noise_pool.noise(key, count, spec)), {}

  def tell(state, nets: Networks, answered: Samples, key: Array):
    del nets, key
    labels = hard_labels(answered.targets)
    pool = noise_pool.insert(state["pool"], answered.images, labels)
    known = jnp.mean(pool.counts > 0)
    return {**state, "pool": pool}, answered, {"classes_known": known}

  return Phase(ask, tell, repeats=repeats, store=False)


def probing_phase(program: tuple[boundary.Step, ...], name: str) -> Phase:
  """Returns a phase that runs the program of all searches.

  The state of the method is a dict, in which `name` is a `Search`, and `step`
  the number of steps so far.
  """

  def ask(state, nets: Networks, key: Array):
    del nets
    searches, images = boundary.ask(program, state["step"], state[name], key)
    return {**state, name: searches}, stores.unlabelled(images), {}

  def tell(state, nets: Networks, answered: Samples, key: Array):
    del nets, key
    step, answers = state["step"], hard_labels(answered.targets)
    searches = boundary.tell(program, step, state[name], answers)
    state = {**state, name: searches, "step": step + 1}
    return state, answered, {f"{name}_found": searches.crossed.mean()}

  return Phase(ask, tell, repeats=len(program), store=False)


def affordable(
  budget: int, num_walks: int, refinements: int, cost: Callable[[int], int]
) -> tuple[int, int]:
  """Returns the number of walks and of refinements that a budget pays for.

  The one that is 0 becomes as large as the budget allows. Without a budget both
  must be given.

  Args:
    budget: images that the teacher may be asked for.
    num_walks: walks in all.
    refinements: of a search.
    cost: of a walk, by the number of refinements.

  Raises:
    JaxkdError: if two of the three are 0, or the budget is too small.
  """
  if (num_walks, refinements, budget).count(0) > 1:
    raise JaxkdError(
      f"synthesis.num_walks={num_walks}, synthesis.refinements={refinements}, "
      f"queries.budget={budget}: at most one of them can be 0."
    )
  if not refinements:
    spare = budget // num_walks - cost(0)
    refinements = max(spare // (cost(1) - cost(0)), 1)
  each = cost(refinements)
  needed = max(num_walks, 1) * each
  if budget and needed > budget:
    raise JaxkdError(
      f"queries.budget={budget}: with synthesis.refinements={refinements} a "
      f"walk costs {each} queries, and {max(num_walks, 1)} of them {needed}; "
      "raise the budget, or lower synthesis.moves, directions or num_walks."
    )
  return num_walks or budget // each, refinements
