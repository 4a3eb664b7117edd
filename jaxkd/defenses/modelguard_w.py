"""ModelGuard-W: the answer that says the least likely, within a distance.

Tang et al., "ModelGuard: Information-Theoretic Defense Against Model Extraction
Attacks", USENIX Security 2024. For each answer p a linear programme is solved:

  minimise sum_j p'_j ln(p_j + 1e-6)  with |p' - p|_1 <= epsilon, p' a
  distribution, and p' of the label at least 1e-4 above all others,

so that the label stays, and with it the accuracy. This is what the released
code does under the names ModelGuard-W and MLD, with a solver for each image and
epsilon = 1 in its scripts. Its other form, ModelGuard-S, quantises answers by
centroids that grow from query to query; it is no function of the answer, hence
not here. The text of the paper was not at hand: its notation and its reasons
could not be verified.

We solve the programme without a solver, for all images at once. For a given
largest probability M the classes sorted by p are filled from the least likely
on, each up to M less the margin, with what the label and the likeliest others
lose; that is the best, as all exchanges have the order of p. The value is
convex in M, which a ternary search finds. Where epsilon does not reach to the
margin, which is possible for a tie, the margin is kept and not epsilon.
"""

import functools

import jax
import jax.numpy as jnp

from jaxkd.config.fields import Field, Interval
from jaxkd.types import Array

MARGIN = 1e-4  # of the label above the other classes
SMOOTHING = 1e-6  # of p before its logarithm
SEARCH_STEPS = 48  # of the ternary search; each leaves two thirds
PENALTY = 1e3  # steeper than the value, so that no constraint is violated

KEEPS_LABEL = True
FIELDS = (
  Field(
    "epsilon",
    float,
    1.0,
    "Largest distance of an answer, |p' - p|_1.",
    Interval(0, 2),
  ),
)


def answer(probs: Array, images: Array, *, epsilon: float) -> Array:
  """Changes `probs [B, K]` by at most `epsilon`, and no label."""
  del images
  return jax.vmap(functools.partial(_solve, epsilon / 2))(probs)


def _solve(moved: float, probs: Array) -> Array:
  """Returns the best answer `[K]` in which at most `moved` changes classes."""
  label = probs.argmax()
  # The label comes last, also where another class has the same probability.
  order = jnp.argsort(probs.at[label].add(1))
  ordered = probs[order]
  costs = jnp.log(ordered + SMOOTHING)

  def value(largest: Array) -> Array:
    changed, excess = _fill(ordered, largest, moved)
    return changed @ costs + PENALTY * excess

  def narrow(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = bounds
    first, second = low + (high - low) / 3, high - (high - low) / 3
    left = value(first) < value(second)
    return jnp.where(left, low, first), jnp.where(left, second, high)

  size = len(probs)
  bounds = (jnp.float32((1 + (size - 1) * MARGIN) / size), jnp.float32(1))
  low, high = jax.lax.fori_loop(0, SEARCH_STEPS, narrow, bounds)
  changed, _ = _fill(ordered, (low + high) / 2, moved)
  changed = jnp.maximum(changed, 0)
  return jnp.zeros_like(probs).at[order].set(changed / changed.sum())


def _fill(ordered: Array, largest: Array, moved: float) -> tuple[Array, Array]:
  """Returns the best answer whose label has the probability `largest`.

  Args:
    ordered: p `[K]`, ascending; the label is the last.
    largest: p' of the label.
    moved: probability that may change classes.

  Returns:
    p' `[K]`, and by how much more than `moved` it moves at least.
  """
  others, limit = ordered[:-1], largest - MARGIN
  lost = ordered[-1] - largest  # by the label; negative if it gains
  kept = jnp.minimum(others, limit)
  needed = lost + (others - kept).sum()  # what the others gain at least
  room = limit - kept
  below = jnp.cumsum(room) - room  # room in all that are less likely
  above = kept.sum() - jnp.cumsum(kept)  # probability in all likelier ones
  most = moved + jnp.minimum(lost, 0)
  # No class both gains and loses.
  apart = jnp.maximum(below, needed + above).min()
  ends = jnp.minimum(room.sum(), needed + kept.sum())
  least = jnp.maximum(needed, 0)
  gain = jnp.maximum(jnp.minimum(jnp.minimum(most, apart), ends), least)
  gains = jnp.clip(gain - below, 0, room)
  losses = jnp.clip(gain - needed - above, 0, kept)
  changed = jnp.append(kept + gains - losses, largest)
  return changed, jnp.maximum(least - most, 0)
