"""Sign-OPT: finds the direction of the nearest boundary by labels alone.

Cheng et al., "Sign-OPT: A Query-Efficient Hard-label Adversarial Attack", ICLR
2020, estimates the gradient of the distance by the signs of finite differences,
and descends it by a line search. Theirs tries one candidate after the other;
here those of a step are probed at once, see `jaxkd.synthesis.boundary`.
"""

import jax.numpy as jnp

from jaxkd.synthesis import boundary, directions
from jaxkd.synthesis.boundary import BISECTION, Search, Step
from jaxkd.types import Array

LINE_SPAN = 2.0  # a line search starts at half the known distance
LONGEST_LINE_STEP = 4.0  # the others are its halves; a descent has length 1


def estimation(smoothing: float) -> Step:
  """Returns the step that tests which of W rotations bring the boundary nearer.

  A rotation adds a vector of length `smoothing` (Sign-OPT's beta) to the
  direction. The signs are centred over the step, because W equal signs tell
  nothing about the gradient.
  """

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    added = directions.random(key, search.candidates.shape)
    rotations = directions.unit(search.direction[:, None] + smoothing * added)
    offsets = directions.scale(rotations, search.distance[:, None])
    return search.replace(candidates=added), offsets

  def learn(search: Search, answers: Array) -> Search:
    nearer = boundary.is_across(search, answers).astype(jnp.float32)
    weights = nearer - nearer.mean(axis=1, keepdims=True)
    descent = directions.scale(search.candidates, weights).sum(axis=1)
    return search.replace(descent=search.descent + descent)

  return Step(propose, learn)


def _start_line(search: Search, key: Array) -> tuple[Search, Array]:
  """Tries W steps of halving length along the descent.

  If none of them brings the boundary nearer, the direction stays as it was.
  """
  del key
  lengths = boundary.halved_lengths(
    LONGEST_LINE_STEP, search.candidates.shape[1]
  )
  descent = directions.unit(search.descent)[:, None]
  lines = search.direction[:, None] + directions.scale(descent, lengths[None])
  search = search.replace(
    candidates=directions.unit(lines),
    low=search.distance / LINE_SPAN,
    descent=jnp.zeros_like(search.descent),
  )
  return boundary.at_radius(search)


LINE_SEARCH = Step(_start_line, boundary.bisect)


def refined(
  num_steps: int, smoothing: float, tolerance: float
) -> tuple[Step, ...]:
  """Returns one iteration: `num_steps` of estimation and a line search."""
  line = (BISECTION,) * (boundary.bisections(LINE_SPAN, tolerance) - 1)
  return *((estimation(smoothing),) * num_steps), LINE_SEARCH, *line
