import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import augment
from jaxkd.types import JaxkdError


def images(count=64):
  return jax.random.uniform(jax.random.key(0), (count, 6, 6, 3)) + 0.1


def test_flip_mirrors_about_half():
  before = images()
  after = augment.flip(jax.random.key(1), before)
  same = (after == before).all((1, 2, 3))
  mirrored = (after == before[:, :, ::-1]).all((1, 2, 3))
  assert (same | mirrored).all()
  assert 16 < int(same.sum()) < 48


def test_crop_shifts_and_fills_with_black():
  before = images()
  after = augment.crop(jax.random.key(1), before)
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
  after = jax.jit(augment.rotate)(before, degrees)
  np.testing.assert_array_equal(after[0], before[0])
  # A turn by 90 degrees moves pixels to pixels, up to rounding of the angle.
  for index, quarters in ((1, 1), (2, -1)):
    np.testing.assert_allclose(
      after[index, 1:-1, 1:-1],
      np.rot90(before[index], quarters)[1:-1, 1:-1],
      atol=1e-4,
    )
  # The corners come from outside, and inside the mean stays.
  assert not after[3, :4, :4].any()
  assert not after[3, -4:, -4:].any()
  assert abs(after[3, 8:-8, 8:-8].mean() - 0.5) < 0.1


def test_rotation_is_uniform_within_twenty_degrees():
  """Seen in the slopes of a ramp, which bilinear sampling keeps."""
  ramp = jnp.broadcast_to(jnp.arange(8.0), (256, 8, 8))[..., None]
  after = augment.rotation(jax.random.key(1), ramp)[..., 0]
  angles = np.rad2deg(
    np.arctan2(after[:, 3, 4] - after[:, 4, 4], after[:, 4, 4] - after[:, 4, 3])
  )
  assert 18 < np.abs(angles).max() <= 20.01
  assert abs(angles.mean()) < 2
  np.testing.assert_allclose(angles.std(), 20 / 3**0.5, rtol=0.1)


def test_names_are_applied_in_order_and_checked():
  key = jax.random.key(0)
  assert augment.apply((), key, images()) is not None
  assert jnp.shape(augment.apply(("crop", "flip"), key, images(2))) == (
    2,
    6,
    6,
    3,
  )
  with pytest.raises(JaxkdError, match="'rotate'; choose from crop, flip"):
    augment.apply(("rotate",), key, images(2))
