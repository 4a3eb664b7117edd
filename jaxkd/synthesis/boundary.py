"""The engine that walks along a teacher's decision boundary by labels alone.

Many searches at once, in probing steps: in every step each search asks for W
images around its own one, so a step is one batch, and a search is a program
of steps known before it starts. Directions have length 1, distances are those
in pixel space before the probe is clipped to [0, 1]. The W candidates of a step
share one radius, which is bisected as long as any of them lies across.
"""

from collections.abc import Callable
import math
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp

from jaxkd.synthesis import directions
from jaxkd.types import Array

SPAN = 4096.0  # a boundary is looked for from reach / SPAN to reach


@flax.struct.dataclass
class Search:
  """R searches for the nearest place where the teacher's label changes.

  Attributes:
    images: `[R, H, W, C]`, where each search stands.
    labels: `[R]`, the teacher's label there.
    goals: `[R]`, the class that lies across; -1 where any other one does.
    direction: `[R, H, W, C]`, the best so far.
    distance: `[R]`, along it to a place across; an upper bound only, as long
      as none was `found`.
    found: `[R]`, whether any probe lay across.
    low: `[R]`, no candidate is known across at this radius.
    candidates: `[R, W, H, W, C]`, directions in the current step.
    slope: `[R, H, W, C]`, sum of the directions in which the distance falls.
  """

  images: Array
  labels: Array
  goals: Array
  direction: Array
  distance: Array
  found: Array
  low: Array
  candidates: Array
  slope: Array


class Step(NamedTuple):
  """One probing step.

  Attributes:
    propose: `(search, key) -> (search, offsets [R, W, H, W, C])`, of the images
      to ask for from the search's own.
    learn: `(search, answers [R, W]) -> search`.
  """

  propose: Callable[[Search, Array], tuple[Search, Array]]
  learn: Callable[[Search, Array], Search]


def begin(
  images: Array,
  labels: Array,
  goals: Array,
  candidates: Array,
  distance: Array,
  found: Array,
) -> Search:
  """Searches along `candidates`, with what is known of them; see `Search`."""
  return Search(
    images=images,
    labels=labels,
    goals=goals,
    direction=candidates[:, 0],
    distance=distance,
    found=found,
    low=distance / SPAN,
    candidates=candidates,
    slope=jnp.zeros_like(images),
  )


def untargeted_search(images: Array, labels: Array, probes: int) -> Search:
  """Searches for the boundary to any other class, not begun yet."""
  count = len(images)
  return begin(
    images,
    labels,
    jnp.full(count, -1, jnp.int32),
    jnp.zeros((count, probes, *images.shape[1:])),
    jnp.zeros(count),
    jnp.zeros(count, bool),
  )


def ask(
  program: tuple[Step, ...], index: Array, search: Search, key: Array
) -> tuple[Search, Array]:
  """The images `[R W, H, W, C]` of step `index`."""
  steps, kinds = _kinds(program)
  proposals = [step.propose for step in steps]
  search, offsets = jax.lax.switch(kinds[index], proposals, search, key)
  images = jnp.clip(search.images[:, None] + offsets, 0.0, 1.0)
  return search, images.reshape(-1, *search.images.shape[1:])


def tell(
  program: tuple[Step, ...], index: Array, search: Search, answers: Array
) -> Search:
  """The search after the labels `[R W]` that answer step `index`."""
  steps, kinds = _kinds(program)
  lessons = [step.learn for step in steps]
  answers = answers.reshape(search.candidates.shape[:2])
  return jax.lax.switch(kinds[index], lessons, search, answers)


def _kinds(program: tuple[Step, ...]) -> tuple[list[Step], Array]:
  """The different steps of a program, and which one is its i-th."""
  steps = list(dict.fromkeys(program))
  return steps, jnp.array([steps.index(step) for step in program])


def opening(reach: float) -> Step:
  """The first bisection between random directions, up to `reach`."""

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    search = begin(
      search.images,
      search.labels,
      search.goals,
      directions.random(key, search.candidates.shape),
      jnp.full_like(search.distance, reach),
      jnp.zeros_like(search.found),
    )
    return at_radius(search)

  return Step(propose, bisect)


def at_radius(search: Search, key: Array | None = None) -> tuple[Search, Array]:
  """Asks for all candidates halfway between too near and far enough."""
  del key
  return search, directions.scale(search.candidates, _middle(search)[:, None])


def _middle(search: Search) -> Array:
  """Halfway, in factors, between what is too near and what is far enough."""
  return jnp.sqrt(search.low * search.distance)


def bisect(search: Search, answers: Array) -> Search:
  """Halves the range of the radius, by whether any candidate lay across."""
  radius = _middle(search)
  across = is_across(search, answers)
  any_across = across.any(axis=1)
  nearest = jax.vmap(lambda each, index: each[index])(
    search.candidates, across.argmax(axis=1)
  )
  return search.replace(
    direction=jnp.where(
      any_across[:, None, None, None], nearest, search.direction
    ),
    distance=jnp.where(any_across, radius, search.distance),
    low=jnp.where(any_across, search.low, radius),
    found=search.found | any_across,
  )


BISECTION = Step(at_radius, bisect)


def move_inward(longest: float) -> Step:
  """Away from the boundary, as far as the label stays.

  The tries are `longest` and its halves. Who has found no boundary stays.
  """

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    del key
    lengths = halved_lengths(longest, search.candidates.shape[1])
    lengths = jnp.broadcast_to(lengths, search.candidates.shape[:2])
    return search, -directions.scale(search.direction[:, None], lengths)

  def learn(search: Search, answers: Array) -> Search:
    stays = answers == search.labels[:, None]
    lengths = halved_lengths(longest, answers.shape[1])
    moves = search.found & stays.any(axis=1)
    move = jnp.where(moves, lengths[stays.argmax(axis=1)], 0.0)
    moved = search.images - directions.scale(search.direction, move)
    return search.replace(images=jnp.clip(moved, 0.0, 1.0))

  return Step(propose, learn)


def bisect_random(reach: float, tolerance: float) -> tuple[Step, ...]:
  """To the boundary along the best of W random directions."""
  return opening(reach), *bisect_candidates(tolerance)[1:]


def bisect_candidates(tolerance: float) -> tuple[Step, ...]:
  """To the boundary along the best of the candidates that are there."""
  return (BISECTION,) * bisections(SPAN, tolerance)


def bisections(span: float, tolerance: float) -> int:
  """Steps until a distance within a factor `span` is known to a fraction.

  >>> bisections(2.0, 0.01)
  7
  """
  return max(1, math.ceil(math.log2(math.log(span) / math.log1p(tolerance))))


def is_across(search: Search, answers: Array) -> Array:
  """Which of the probes `[R, W]` have left the label, or reached the goal."""
  goals, labels = search.goals[:, None], search.labels[:, None]
  return jnp.where(goals < 0, answers != labels, answers == goals)


def halved_lengths(longest: float, count: int) -> Array:
  """`longest` and its repeated halves, `[count]`."""
  return longest * 0.5 ** jnp.arange(count)
