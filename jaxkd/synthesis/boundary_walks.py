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

  def tell(state, nets: Networks, samples: Samples, key: Array):
    del nets, key
    labels = hard_labels(samples.targets)
    pool = noise_pool.insert(state["pool"], samples.images, labels)
    known = jnp.mean(pool.counts > 0)
    return {**state, "pool": pool}, samples, {"classes_known": known}

  return Phase(ask, tell, repeats=repeats, store=False)


def start_phase(walks: int, probes: int) -> Phase:
  """Returns a phase that starts walks at the newest noise, of all classes
  equally often.

  The state of the method is a dict, in which `pool` is a `NoisePool`, `walks`
  a `Search`, and `step` the number of steps so far.

  Args:
    walks: in a round.
    probes: images that a step of a search asks about.
  """

  def ask(state, nets: Networks, key: Array):
    del nets, key
    images, labels = noise_pool.newest(state["pool"], walks)
    state = {
      **state,
      "walks": boundary.untargeted_search(images, labels, probes),
      "step": jnp.zeros((), jnp.int32),
    }
    return state, Samples(images, labels, labels), {}

  return Phase(ask, store=False, queries=False)


def walk_phase(
  move: tuple[boundary.Step, ...], moves: int, moves_per_sample: int
) -> Phase:
  """Returns a phase of all moves of all walks.

  The state of the method is a dict, in which `samples` are images
  `[moves / moves_per_sample, walks, H, W, C]`, and `walks` and `step` as in
  `start_phase`.

  Args:
    move: the steps of a move.
    moves: of a walk.
    moves_per_sample: moves from sample to sample.
  """
  phase = probing_phase(move * moves, "walks")

  def tell(state, nets: Networks, samples: Samples, key: Array):
    """Writes the images of every step over those of the step before, as the
    next sample, so that a sample ends as the images after its last move.
    """
    sample = state["step"] // (len(move) * moves_per_sample)
    state, samples, terms = phase.tell(state, nets, samples, key)
    images = state["samples"].at[sample].set(state["walks"].images)
    return {**state, "samples": images}, samples, terms

  return phase._replace(tell=tell)


def probing_phase(program: tuple[boundary.Step, ...], name: str) -> Phase:
  """Returns a phase that runs the program of all searches.

  The state of the method is a dict, in which `name` is a `Search`, and `step`
  the number of steps so far.
  """

  def ask(state, nets: Networks, key: Array):
    del nets
    searches, images = boundary.ask(program, state["step"], state[name], key)
    return {**state, name: searches}, stores.unlabelled(images), {}

  def tell(state, nets: Networks, samples: Samples, key: Array):
    del nets, key
    step, answers = state["step"], hard_labels(samples.targets)
    searches = boundary.tell(program, step, state[name], answers)
    state = {**state, name: searches, "step": step + 1}
    return state, samples, {f"{name}_found": searches.crossed.mean()}

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
