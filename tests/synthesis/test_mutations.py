"""A mutation keeps the shape, differs from its parent, and stays in range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import mutations

KEY = jax.random.key(0)
mutate = jax.jit(mutations.mutate)


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 9, 3)])
def test_shape_type_and_key(shape):
  parents, partners, patterns = (
    jax.random.randint(jax.random.key(i), (20, *shape), 0, 256).astype("uint8")
    for i in range(3)
  )
  mutated = mutate(KEY, parents, partners, patterns)
  assert mutated.shape == parents.shape and mutated.dtype == jnp.uint8
  again = mutate(KEY, parents, partners, patterns)
  np.testing.assert_array_equal(mutated, again)
  assert (mutated != parents).any(axis=(1, 2, 3)).all()


def test_constant_images_stay_what_they_are_apart_from_their_partners():
  plain = jnp.full((50, 8, 8, 1), 100, jnp.uint8)
  np.testing.assert_array_equal(mutate(KEY, plain, plain, plain), plain)
  partners = jnp.full((50, 8, 8, 1), 200, jnp.uint8)
  mutated = mutate(KEY, plain, partners, plain)
  values = set(np.unique(mutated).tolist())
  # Untouched, the mean, and the lighter of the two; halves have both.
  assert values == {100, 150, 200}
  halves = [len(np.unique(image)) == 2 for image in mutated]
  assert 0 < sum(halves) < 20


def test_a_warp_moves_pixels_a_little():
  image = jnp.zeros((16, 16, 1)).at[6:10, 6:10].set(1.0)
  warped = jax.jit(jax.vmap(lambda key: mutations.warp(key, image)))(
    jax.random.split(KEY, 100)
  )
  mean = warped.mean(0)
  assert float(mean[7, 7, 0]) > 0.8 and float(mean[0, 0, 0]) < 0.05
  assert float(jnp.abs(warped - image).mean((1, 2, 3)).min()) > 0
