"""Quotas favour rare classes, uncertain candidates come first in their class,
and no image is selected twice.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import selection

KEY = jax.random.key(0)
is_new = jax.jit(selection.is_new)
select = jax.jit(selection.select, static_argnums=(4, 5))


def answers(*probs):
  """Log-probabilities `[1, N, K]` of one student."""
  return jnp.log(jnp.array([probs]))


def test_quotas_fill_the_rare_classes_and_add_up():
  quotas = selection.quotas(jnp.array([40, 10, 0]), 25)
  assert float(quotas.sum()) == pytest.approx(25)
  # 25 each would be equal: 0, 15 and 25 are wanted, the least is half an image.
  np.testing.assert_allclose(
    quotas, 25 * np.array([0.5, 15, 25]) / 40.5, rtol=1e-6
  )


def test_the_smallest_margins_of_a_class_come_first():
  certain, unsure, between = (0.98, 0.02), (0.55, 0.45), (0.8, 0.2)
  log_probs = answers(certain, unsure, between, (0.4, 0.6))
  rows = select(
    KEY, log_probs, jnp.ones(4, bool), jnp.array([1, 1]), 2, "margin"
  )
  assert set(rows.tolist()) == {1, 3}


def test_students_that_differ_are_asked_about():
  agree = [[0.5, 0.5], [0.5, 0.5]]
  differ = [[0.95, 0.05], [0.2, 0.8]]
  log_probs = jnp.log(jnp.array([agree, differ]).swapaxes(0, 1))
  gaps = selection.disagreement(log_probs)
  assert gaps[0] == pytest.approx(0, abs=1e-6)
  mean = np.array([0.575, 0.425])
  entropy = lambda p: -(np.array(p) * np.log(p)).sum()
  by_hand = entropy(mean) - (entropy(differ[0]) + entropy(differ[1])) / 2
  assert gaps[1] == pytest.approx(by_hand, rel=1e-5)
  rows = select(
    KEY, log_probs, jnp.ones(2, bool), jnp.array([0, 0]), 1, "disagreement"
  )
  assert rows.tolist() == [1]


def test_a_missing_class_is_filled_up_at_random_with_others():
  log_probs = answers(*[(0.9, 0.1)] * 6)
  rows = select(
    KEY, log_probs, jnp.ones(6, bool), jnp.array([100, 0]), 4, "margin"
  )
  assert len(set(rows.tolist())) == 4


def test_no_class_is_left_out_because_of_its_number():
  """With fewer images than classes each class has less than one."""
  log_probs = jnp.log(jnp.eye(50)[None].repeat(4, axis=1) * 0.9 + 0.002)
  rows = selection.select(
    KEY, log_probs, jnp.ones(200, bool), jnp.zeros(50, int), 25, "margin"
  )
  classes = np.asarray(log_probs[0, rows].argmax(-1))
  assert len(set(classes.tolist())) == 25 and classes.max() > 35


def test_an_image_that_was_asked_comes_last():
  new = jnp.array([False, True, False, True])
  log_probs = answers(*[(0.5, 0.5)] * 4)
  for criterion in selection.CRITERIA:
    rows = select(KEY, log_probs, new, jnp.zeros(2), 2, criterion)
    assert set(rows.tolist()) == {1, 3}


def test_equal_images_are_found():
  images = jax.random.randint(KEY, (6, 3, 3, 1), 0, 256).astype(jnp.uint8)
  images = images.at[4].set(images[1])
  earlier = jnp.stack([images[0], images[5], images[2]])
  # Two were asked; the third slot is still empty.
  new = is_new(images, earlier, jnp.int32(2))
  assert new.tolist() == [False, True, True, True, False, False]


def test_images_that_differ_in_one_level_are_different():
  image = jnp.zeros((2, 8, 8, 3), jnp.uint8)
  image = image.at[1, 7, 7, 2].set(1)
  assert is_new(image, image[:1], jnp.int32(0)).all()


def test_rare_classes_are_drawn_as_often_as_frequent_ones():
  labels = jnp.array([0] * 900 + [1] * 100 + [-1] * 50)
  rows = selection.rare_classes(KEY, labels, jnp.array([900, 100]), 4000)
  drawn = labels[rows]
  assert (drawn >= 0).all()
  assert 0.45 < float(drawn.mean()) < 0.55


def test_places_are_drawn_by_their_weights():
  weights = jnp.array([0.0, 1.0, 3.0, 0.0, 6.0, 0.0, 0.0])
  rows = selection.draw(KEY, weights, 20_000)
  shares = np.bincount(rows, minlength=7) / 20_000
  np.testing.assert_allclose(shares, weights / 10, atol=0.015)
  assert (shares[weights == 0] == 0).all()


def test_small_weights_are_not_lost_among_many():
  """In one sum over all weights only a tenth of these would have a share."""
  half = 2**19
  weights = jnp.concatenate([jnp.full(half, 4.0), jnp.full(half, 0.02)])
  rows = np.asarray(selection.draw(KEY, weights, 400_000))
  small = rows[rows >= half]
  assert 1700 < len(small) < 2300  # 1,990 are expected
  assert len(small) - len(set(small)) < 20  # four, or fifty of a tenth


def test_the_largest_draw_is_of_a_place_that_has_a_weight(monkeypatch):
  highest = jnp.nextafter(jnp.float32(1.0), 0.0)
  monkeypatch.setattr(
    jax.random, "uniform", lambda key, shape: jnp.full(shape, highest)
  )
  for seed, count in enumerate((7, 1000, 25_000)):
    weights = np.random.default_rng(seed).uniform(1e-3, 2, count)
    weights[int(0.3 * count) :] = 0.0
    place = selection.draw(KEY, jnp.float32(weights), 1)
    assert weights[int(place[0])] > 0
