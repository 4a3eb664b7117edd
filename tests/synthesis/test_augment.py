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
