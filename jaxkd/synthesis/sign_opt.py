"""Sign-OPT: the direction in which the boundary is nearest, by labels alone.

Cheng et al., "Sign-OPT: A Query-Efficient Hard-label Adversarial Attack", ICLR
2020, estimates the slope of the distance by the signs of finite differences,
and goes down it by a line search. Theirs takes one candidate after the other;
here those of a step are probed at once, see `jaxkd.synthesis.boundary`.
"""

import jax.numpy as jnp

from jaxkd.synthesis import boundary, directions
from jaxkd.synthesis.boundary import BISECTION, Search, Step
from jaxkd.types import Array

LINE_SPAN = 2.0  # a line search begins at half the known distance
LONGEST_LINE_STEP = 4.0  # the others are its halves; a slope has length 1


def estimation(smoothing: float) -> Step:
  """Which of W random turns of the direction bring the boundary nearer.

  A turn adds a vector of length `smoothing` (Sign-OPT's beta). The signs are
  centred over the step: turns that all go the same way say nothing.
  """

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    turns = directions.random(key, search.candidates.shape)
    turned = directions.unit(search.direction[:, None] + smoothing * turns)
    offsets = directions.scale(turned, search.distance[:, None])
    return search.replace(candidates=turns), offsets

  def learn(search: Search, answers: Array) -> Search:
    nearer = boundary.is_across(search, answers).astype(jnp.float32)
    weights = nearer - nearer.mean(axis=1, keepdims=True)
    pull = directions.scale(search.candidates, weights).sum(axis=1)
    return search.replace(slope=search.slope + pull)

  return Step(propose, learn)


def _start_line(search: Search, key: Array) -> tuple[Search, Array]:
  """W steps of halving length down the slope; if none of them leads across any
  nearer, the direction stays as it was.
  """
  del key
  lengths = boundary.halved_lengths(
    LONGEST_LINE_STEP, search.candidates.shape[1]
  )
  slope = directions.unit(search.slope)[:, None]
  lines = search.direction[:, None] + directions.scale(slope, lengths[None])
  search = search.replace(
    candidates=directions.unit(lines),
    low=search.distance / LINE_SPAN,
    slope=jnp.zeros_like(search.slope),
  )
  return boundary.at_radius(search)


LINE_SEARCH = Step(_start_line, boundary.bisect)


def refined(
  num_steps: int, smoothing: float, tolerance: float
) -> tuple[Step, ...]:
  """One iteration of Sign-OPT: the slope in `num_steps`, and a step down it."""
  line = (BISECTION,) * (boundary.bisections(LINE_SPAN, tolerance) - 1)
  return *((estimation(smoothing),) * num_steps), LINE_SEARCH, *line
