"""Random augmentations of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.data import augmentation
from jaxkd.types import JaxkdError


def images(count=64):
  return jax.random.uniform(jax.random.key(0), (count, 6, 6, 3)) + 0.1


def test_flip_mirrors_about_half():
  before = images()
  after = jax.jit(augmentation.flip)(jax.random.key(1), before)
  same = (after == before).all((1, 2, 3))
  mirrored = (after == before[:, :, ::-1]).all((1, 2, 3))
  assert (same | mirrored).all()
  assert 16 < int(same.sum()) < 48


def test_crop_shifts_and_fills_with_black():
  before = images()
  after = jax.jit(augmentation.crop)(jax.random.key(1), before)
  assert after.shape == before.shape
  padded = np.pad(before, ((0, 0), (4, 4), (4, 4), (0, 0)))
  for image, source in zip(np.asarray(after), padded, strict=True):
    assert any(
      np.array_equal(image, source[y : y + 6, x : x + 6])
      for y in range(9)
      for x in range(9)
    )
  assert len({np.asarray(image).tobytes() for image in after}) == 64


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (64, 3)])
def test_rotate(side, channels):
  before = jax.random.uniform(jax.random.key(0), (4, side, side, channels))
  degrees = jnp.array([0.0, 90.0, -90.0, 45.0])
  after = jax.jit(augmentation.rotate)(before, degrees)
  np.testing.assert_array_equal(after[0], before[0])
  # A rotation by 90 degrees maps pixels to pixels, up to rounding of the angle.
  for index, quarters in ((1, 1), (2, -1)):
    np.testing.assert_allclose(
      after[index, 1:-1, 1:-1],
      np.rot90(before[index], quarters)[1:-1, 1:-1],
      atol=1e-4,
    )
  # The corners come from outside of the image; the mean inside does not change.
  assert not after[3, :4, :4].any()
  assert not after[3, -4:, -4:].any()
  assert abs(after[3, 8:-8, 8:-8].mean() - 0.5) < 0.1


def test_rotation_is_uniform_within_twenty_degrees():
  """Measures the angle by the slopes of a ramp, which interpolation keeps."""
  ramp = jnp.broadcast_to(jnp.arange(8.0), (256, 8, 8))[..., None]
  after = jax.jit(augmentation.rotation)(jax.random.key(1), ramp)[..., 0]
  angles = np.rad2deg(
    np.arctan2(after[:, 3, 4] - after[:, 4, 4], after[:, 4, 4] - after[:, 4, 3])
  )
  assert 18 < np.abs(angles).max() <= 20.01
  assert abs(angles.mean()) < 2
  np.testing.assert_allclose(angles.std(), 20 / 3**0.5, rtol=0.1)


def test_names_are_applied_in_order_and_checked():
  key = jax.random.key(0)
  assert augmentation.apply((), key, images()) is not None
  assert jnp.shape(augmentation.apply(("crop", "flip"), key, images(2))) == (
    2,
    6,
    6,
    3,
  )
  with pytest.raises(JaxkdError, match="'rotate'; choose from crop, cutmix"):
    augmentation.apply(("rotate",), key, images(2))


def test_magnify():
  """Magnifies a whole image, and the quarters of one."""
  before = images(4)
  magnify = jax.jit(augmentation.magnify)
  whole = magnify(before, jnp.zeros((4, 2)), jnp.ones((4, 2)))
  np.testing.assert_allclose(whole, before, atol=1e-6)
  corners = jnp.array([[0.0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5]])
  quarters = magnify(before, corners, jnp.full((4, 2), 0.5))
  for index, (row, column) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3)]):
    quarter = before[index, row : row + 3, column : column + 3]
    # A pixel becomes four; each has a weight of 3/4 of it along both axes.
    inner = quarters[index, 1:-1:2, 1:-1:2]
    expected = (
      9 * quarter[:-1, :-1]
      + 3 * (quarter[1:, :-1] + quarter[:-1, 1:])
      + quarter[1:, 1:]
    ) / 16
    np.testing.assert_allclose(inner, expected, atol=1e-5)


def test_resized_crops_are_parts_of_a_quarter_to_all():
  """Measures the sides of the crops by the slopes of two ramps."""
  rows, columns = jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0), indexing="ij")
  ramps = jnp.broadcast_to(jnp.stack([rows, columns], -1), (400, 8, 8, 2))
  after = jax.jit(augmentation.resized_crop)(jax.random.key(1), ramps)
  assert after.min() >= 0 and after.max() <= 7 + 1e-5
  height = after[:, 5, 4, 0] - after[:, 4, 4, 0]
  width = after[:, 4, 5, 1] - after[:, 4, 4, 1]
  area, aspect = height * width, height / width
  assert 0.24 < area.min() < 0.3 and 0.9 < area.max() < 1.001
  assert 0.74 < aspect.min() < 0.8 and 1.28 < aspect.max() < 1.34
  middle = (after[:, 3, 4, 0] + after[:, 4, 4, 0]) / 2 - 3.5
  assert middle.min() < -1 and middle.max() > 1
  assert abs(middle.mean()) < 0.1


def test_jitter_rolls_all_images_alike_and_loses_nothing():
  before = images(3)
  seen = set()
  for seed in range(40):
    key = jax.random.key(seed)
    after = augmentation.jitter(key, before, 1, mirror=True)
    shifts = [
      (row, column, mirrored)
      for row in (-1, 0, 1)
      for column in (-1, 0, 1)
      for mirrored in (False, True)
      if np.array_equal(
        np.roll(before, (row, column), (1, 2))[:, :, :: -1 if mirrored else 1],
        after,
      )
    ]
    seen.update(shifts)
    assert len(shifts) == 1
  assert len(seen) > 12
  np.testing.assert_array_equal(augmentation.jitter(key, before, 0), before)


def test_mixup_blends_neighbours():
  images = jnp.zeros((50, 3, 3, 1)).at[::2].set(1.0)
  mixup = jax.jit(augmentation.mixup)
  mixed = mixup(jax.random.key(0), images)
  weights = mixed[:, 0, 0, 0]
  assert (np.ptp(mixed, axis=(1, 2, 3)) == 0).all()
  assert 0.2 < float(weights.std()) < 0.4  # uniform: 0.29
  equal = jnp.full((4, 3, 3, 1), 0.5)
  np.testing.assert_allclose(mixup(jax.random.key(0), equal), equal, rtol=1e-6)


def test_cutmix_replaces_a_square():
  images = jnp.zeros((200, 16, 16, 1)).at[::2].set(1.0)
  cut = np.asarray(jax.jit(augmentation.cutmix)(jax.random.key(0), images))
  assert set(np.unique(cut)) == {0.0, 1.0}
  changed = cut[..., 0] != np.asarray(images)[..., 0]
  share = changed.mean((1, 2))
  assert 0.4 < share.mean() < 0.6 and share.std() > 0.2
  # It is the product of its rows and its columns.
  product = changed.any(2)[:, :, None] & changed.any(1)[:, None, :]
  np.testing.assert_array_equal(changed, product)
