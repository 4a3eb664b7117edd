"""The engine that searches a teacher's decision boundary by labels alone.

Many searches run at once, in probing steps: in every step each search asks
about W images around its own one, so a step is one batch, and a search is a
program of steps that is known before it starts. Directions have length 1,
distances are those in pixel space before the probe is clipped to [0, 1]. The W
candidates of a step share one radius, which is bisected as long as any of them
lies across the boundary.
"""

from collections.abc import Callable
import math
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp

from jaxkd.synthesis import directions
from jaxkd.types import Array

SPAN = 4096.0  # a boundary is searched from reach / SPAN to reach


@flax.struct.dataclass
class Search:
  """R searches for the nearest place where the teacher's label changes.

  Attributes:
    images: `[R, H, W, C]`, that are searched from.
    labels: `[R]`, the teacher's labels of them.
    target_classes: `[R]`, the class across the boundary; -1 for any other one.
    direction: `[R, H, W, C]`, the best so far.
    distance: `[R]`, along it to a point across; an upper bound only, as long
      as none is known.
    crossed: `[R]`, whether any probe lay across.
    low: `[R]`, a radius at which no candidate is known to lie across.
    candidates: `[R, W, H, W, C]`, directions in the current step.
    descent: `[R, H, W, C]`, sum of the directions in which the distance falls.
  """

  images: Array
  labels: Array
  target_classes: Array
  direction: Array
  distance: Array
  crossed: Array
  low: Array
  candidates: Array
  descent: Array


class Step(NamedTuple):
  """One probing step of a search.

  Attributes:
    propose: `(search, key) -> (search, offsets [R, W, H, W, C])`: the images to
      ask about, relative to the search's own.
    learn: `(search, answers [R, W]) -> search`.
  """

  propose: Callable[[Search, Array], tuple[Search, Array]]
  learn: Callable[[Search, Array], Search]


def new_search(
  images: Array,
  labels: Array,
  target_classes: Array,
  candidates: Array,
  distance: Array,
  crossed: Array,
) -> Search:
  """Returns searches along `candidates`, of which something is known already;
  see `Search`.
  """
  return Search(
    images=images,
    labels=labels,
    target_classes=target_classes,
    direction=candidates[:, 0],
    distance=distance,
    crossed=crossed,
    low=distance / SPAN,
    candidates=candidates,
    descent=jnp.zeros_like(images),
  )


def untargeted_search(images: Array, labels: Array, probes: int) -> Search:
  """Returns new searches for the boundary to any other class."""
  count = len(images)
  return new_search(
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
  """Returns the images `[R W, H, W, C]` that step `index` asks about."""
  steps, kinds = _kinds(program)
  proposals = [step.propose for step in steps]
  search, offsets = jax.lax.switch(kinds[index], proposals, search, key)
  images = jnp.clip(search.images[:, None] + offsets, 0.0, 1.0)
  return search, images.reshape(-1, *search.images.shape[1:])


def tell(
  program: tuple[Step, ...], index: Array, search: Search, answers: Array
) -> Search:
  """Updates the search with the labels `[R W]` that answer step `index`."""
  steps, kinds = _kinds(program)
  learners = [step.learn for step in steps]
  answers = answers.reshape(search.candidates.shape[:2])
  return jax.lax.switch(kinds[index], learners, search, answers)


def _kinds(program: tuple[Step, ...]) -> tuple[list[Step], Array]:
  """Returns the different steps of a program, and which one is its i-th."""
  steps = list(dict.fromkeys(program))
  return steps, jnp.array([steps.index(step) for step in program])


def first_bisection(reach: float) -> Step:
  """Returns the step that draws directions and bisects them first.

  Args:
    reach: the largest distance at which a boundary is searched.
  """

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    search = new_search(
      search.images,
      search.labels,
      search.target_classes,
      directions.random(key, search.candidates.shape),
      jnp.full_like(search.distance, reach),
      jnp.zeros_like(search.crossed),
    )
    return at_radius(search)

  return Step(propose, bisect)


def at_radius(search: Search, key: Array | None = None) -> tuple[Search, Array]:
  """Asks about all candidates at the middle of the range of the radius."""
  del key
  return search, directions.scale(search.candidates, _middle(search)[:, None])


def _middle(search: Search) -> Array:
  """Returns the geometric mean of `low` and `distance`, `[R]`."""
  return jnp.sqrt(search.low * search.distance)


def bisect(search: Search, answers: Array) -> Search:
  """Halves the range of the radius, by whether any candidate lies across."""
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
    crossed=search.crossed | any_across,
  )


BISECTION = Step(at_radius, bisect)


def move_inward(longest: float) -> Step:
  """Returns the step away from the boundary, as far as the label stays.

  It tries the length `longest` and its repeated halves. A search without a
  boundary does not move.
  """

  def propose(search: Search, key: Array) -> tuple[Search, Array]:
    del key
    lengths = halved_lengths(longest, search.candidates.shape[1])
    lengths = jnp.broadcast_to(lengths, search.candidates.shape[:2])
    return search, -directions.scale(search.direction[:, None], lengths)

  def learn(search: Search, answers: Array) -> Search:
    stays = answers == search.labels[:, None]
    lengths = halved_lengths(longest, answers.shape[1])
    moves = search.crossed & stays.any(axis=1)
    move = jnp.where(moves, lengths[stays.argmax(axis=1)], 0.0)
    moved = search.images - directions.scale(search.direction, move)
    return search.replace(images=jnp.clip(moved, 0.0, 1.0))

  return Step(propose, learn)


def bisect_random(reach: float, tolerance: float) -> tuple[Step, ...]:
  """Returns the steps to the boundary along the best of W random directions."""
  return first_bisection(reach), *bisect_candidates(tolerance)[1:]


def bisect_candidates(tolerance: float) -> tuple[Step, ...]:
  """Returns the steps to the boundary along the best of the candidates."""
  return (BISECTION,) * bisections(SPAN, tolerance)


def bisections(span: float, tolerance: float) -> int:
  """Returns the steps until a distance within a factor `span` is known.

  Args:
    span: of the largest distance to the smallest.
    tolerance: to which fraction it is to be known.

  >>> bisections(2.0, 0.01)
  7
  """
  return max(1, math.ceil(math.log2(math.log(span) / math.log1p(tolerance))))


def is_across(search: Search, answers: Array) -> Array:
  """Returns which of the probes `[R, W]` lie across the boundary."""
  targets, labels = search.target_classes[:, None], search.labels[:, None]
  return jnp.where(targets < 0, answers != labels, answers == targets)


def halved_lengths(longest: float, count: int) -> Array:
  """Returns `longest` and its repeated halves, `[count]`."""
  return longest * 0.5 ** jnp.arange(count)
