"""Boundary searches against teachers whose boundary is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import boundary, directions, sign_opt

PROBES = 8
NORMAL = jax.random.normal(jax.random.key(0), (2, 3, 1))
BIAS = 0.1 - 0.5 * float(NORMAL.sum())
# Anyone's boundary is far from the ends of [0, 1], where probes are clipped.
IMAGES = 0.5 + 0.1 * jax.random.normal(jax.random.key(1), (16, 2, 3, 1))


def linear(images):
  """Two classes: the side of the plane n x + b = 0."""
  return (planes(images) > 0).astype(jnp.int32)


def planes(images):
  return jnp.sum(NORMAL * images, axis=(1, 2, 3)) + BIAS


def plane_distances(images):
  return jnp.abs(planes(images)) / jnp.linalg.norm(NORMAL)


def ball(images):
  """Two classes: inside and outside of a ball of radius 0.3."""
  return (directions.length(images - 0.5) > 0.3).astype(jnp.int32)


def thirds(images):
  """Three classes: the greatest of three linear functions."""
  weights = jax.random.normal(jax.random.key(2), (6, 3))
  return ((images - 0.5).reshape(-1, 6) @ weights).argmax(-1).astype(jnp.int32)


def start(
  teacher, images=IMAGES, target_classes=-1, candidates=None, distance=0.0
):
  count = len(images)
  if candidates is None:
    candidates = jnp.zeros((count, PROBES, *images.shape[1:]))
  return boundary.new_search(
    images,
    teacher(images),
    jnp.broadcast_to(jnp.int32(target_classes), (count,)),
    candidates,
    jnp.broadcast_to(jnp.float32(distance), (count,)),
    jnp.broadcast_to(jnp.array(distance > 0), (count,)),
  )


def search(program, teacher, begun, key=3):
  """The search after a program, and the distances after each step."""

  @jax.jit
  def run(begun, key):
    def step(carry, index):
      result, images = boundary.ask(
        program, index, carry, jax.random.fold_in(key, index)
      )
      result = boundary.tell(program, index, result, teacher(images))
      return result, (result.distance, jnp.abs(images - 0.5).max())

    return jax.lax.scan(step, begun, jnp.arange(len(program)))

  return run(begun, jax.random.key(key))


BISECTED = boundary.bisect_random(1.0, 1e-3)
DEEP = BISECTED + 20 * sign_opt.refined(4, 0.03, 1e-3)


@functools.cache
def walk(teacher):
  """To the boundary, as near as can be, and away from it."""
  return search(DEEP + (boundary.move_inward(0.5),), teacher, start(teacher))


def test_the_distance_to_a_plane_and_its_direction():
  result, _ = walk(linear)
  exact = plane_distances(IMAGES)
  assert result.crossed.all()
  np.testing.assert_array_less(exact * 0.999, result.distance)
  np.testing.assert_allclose(result.distance, exact, rtol=0.02)
  sides = -jnp.sign(planes(IMAGES))[:, None, None, None]
  cosine = jnp.sum(
    result.direction * sides * directions.unit(NORMAL), (1, 2, 3)
  )
  assert float(cosine.min()) > 0.98


def test_the_best_of_the_candidates_is_known_to_the_tolerance():
  result, _ = search(BISECTED, linear, start(linear))
  slopes = jnp.sum(result.candidates * NORMAL, axis=(2, 3, 4))
  steps = -planes(IMAGES)[:, None] / slopes
  exact = jnp.where(steps > 0, steps, jnp.inf).min(axis=1)
  reached = np.asarray(exact) < 1.0
  assert reached.sum() > 8  # some searches have no way across within reach
  np.testing.assert_array_equal(result.crossed, reached)
  ratio = (result.distance / exact)[reached]
  assert float(ratio.min()) > 0.9999 and float(ratio.max()) < 1.0011


def test_the_boundary_lies_between_what_is_kept():
  """Just before `distance` the label is still the old one."""
  result, _ = walk(ball)

  def labels(fraction):
    way = directions.scale(result.direction, fraction * result.distance)
    return ball(IMAGES + way)

  assert (labels(1.0) != result.labels).all()
  assert (labels(0.99) == result.labels).all()


def test_the_distance_to_a_ball():
  result, _ = walk(ball)
  exact = jnp.abs(directions.length(IMAGES - 0.5) - 0.3)
  np.testing.assert_allclose(result.distance, exact, rtol=0.03, atol=2e-4)


def test_a_distance_never_grows_and_probes_stay_pixels():
  _, (distances, far) = walk(linear)
  assert (jnp.diff(distances, axis=0) <= 0).all()
  assert float(far.max()) <= 0.5


def test_a_goal_counts_no_other_class():
  labels = np.asarray(thirds(IMAGES))
  target_classes = (labels + 1) % 3
  other = np.random.default_rng(0).random((99, 2, 3, 1), np.float32)
  classes = np.asarray(thirds(other))
  nearest = np.stack(
    [other[classes == goal][:PROBES] for goal in target_classes]
  )
  lengths = np.sqrt(
    ((nearest - np.asarray(IMAGES)[:, None]) ** 2).sum((2, 3, 4))
  )
  order = lengths.argsort(axis=1)  # the nearest first
  ways = np.take_along_axis(nearest, order[..., None, None, None], axis=1)
  begun = boundary.new_search(
    IMAGES,
    jnp.asarray(labels),
    jnp.asarray(target_classes),
    directions.unit(ways - IMAGES[:, None]),
    jnp.asarray(lengths.min(axis=1)),
    jnp.ones(len(labels), bool),
  )
  result, _ = search(boundary.bisect_candidates(1e-3), thirds, begun)
  across = IMAGES + directions.scale(result.direction, result.distance)
  np.testing.assert_array_equal(thirds(across), target_classes)
  assert (np.asarray(result.distance) < lengths.min(axis=1)).all()


def test_a_retreat_keeps_the_label_and_goes_away_from_the_boundary():
  result, _ = walk(linear)
  np.testing.assert_array_equal(linear(result.images), linear(IMAGES))
  before, after = plane_distances(IMAGES), plane_distances(result.images)
  assert (after >= before).all()
  assert float((after - before).mean()) > 0.1
  assert 0 <= float(result.images.min()) <= float(result.images.max()) <= 1


def test_a_retreat_halves_its_length_until_the_label_stays():
  """The way from a wall of the ball leads to the opposite one."""
  ray = directions.unit(NORMAL)[None]
  begun = start(ball, 0.5 + 0.1 * ray, distance=0.2).replace(direction=ray)
  result, _ = search((boundary.move_inward(0.5),), ball, begun)
  np.testing.assert_allclose(result.images, 0.5 - 0.15 * ray, atol=1e-6)


def test_who_finds_no_boundary_stays_where_it_is():
  def constant(images):
    return jnp.zeros(len(images), jnp.int32)

  result, _ = search(
    BISECTED + (boundary.move_inward(0.5),), constant, start(constant)
  )
  assert not result.crossed.any()
  np.testing.assert_array_equal(result.images, IMAGES)


@pytest.mark.parametrize("span, tolerance", [(2.0, 0.1), (4096.0, 1e-3)])
def test_bisections_reach_the_tolerance_and_not_more(span, tolerance):
  count = boundary.bisections(span, tolerance)
  assert span ** (0.5**count) <= 1 + tolerance < span ** (0.5 ** (count - 1))
