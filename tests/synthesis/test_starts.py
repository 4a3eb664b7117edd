"""Procedural starts are normalised pixels; a share replaces the last images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.synthesis import procedural, starts
from jaxkd.types import DataSpec, JaxkdError, Networks, Phase, Samples

KEY = jax.random.key(0)
SPEC = DataSpec("toy", (8, 8, 1), 3, (0.25,), (0.5,))


def test_noise_is_standard_normal():
  noise = starts.start_images("noise", KEY, 200, SPEC)
  assert noise.shape == (200, 8, 8, 1)
  assert abs(float(noise.mean())) < 0.05 and abs(float(noise.std()) - 1) < 0.05


def test_procedural_starts_are_pixels_that_were_normalised():
  images = starts.start_images("procedural", KEY, 6, SPEC) * 0.5 + 0.25
  levels = np.asarray(images) * 255
  np.testing.assert_allclose(levels, levels.round(), atol=1e-3)
  assert levels.min() >= -1e-3 and levels.max() <= 255.001
  np.testing.assert_array_equal(
    levels.round().astype(np.uint8), starts.draw(KEY, 6, SPEC)
  )


def test_starts_are_of_the_sources_that_have_a_weight():
  objects, strokes = (
    starts.start_images("procedural", KEY, 6, SPEC, {name: 1.0})
    for name in ("objects", "strokes")
  )
  assert not np.array_equal(objects, strokes)
  drawn = procedural.draw("objects", KEY, 6, SPEC.shape)
  np.testing.assert_array_equal(
    starts.draw(KEY, 6, SPEC, {"objects": 2.0, "strokes": 0.0}), drawn
  )


def test_sources_without_a_weight_are_refused():
  starts.check_sources({"objects": 1.0, "strokes": 0.0})
  with pytest.raises(JaxkdError, match=r"set one of .*objects.* above 0"):
    starts.check_sources({"objects": 0.0})


def test_points_have_no_procedural_start():
  with pytest.raises(JaxkdError, match=r"set synthesis\.start=noise"):
    starts.start_images("procedural", KEY, 6, SPEC._replace(shape=(2,)))


def ask(state, nets, key):
  del nets, key
  samples = Samples(jnp.full((8, 8, 8, 1), 0.5), jnp.arange(8) % 3)
  return state, samples, {"loss": jnp.float32(1)}


def test_a_share_of_the_images_is_replaced_and_has_no_class():
  phase = starts.with_share(Phase(ask), 0.25, SPEC)
  _, samples, terms = phase.ask((), Networks(None, None), KEY)
  kept = np.asarray(samples.images[:6])
  assert (kept == 0.5).all() and len(samples.images) == 8
  assert not (np.asarray(samples.images[6:]) == 0.5).all()
  assert samples.labels.tolist() == [0, 1, 2, 0, 1, 2, -1, -1]
  assert set(terms) == {"loss"}


def test_without_a_share_the_phase_is_the_same_object():
  phase = Phase(ask)
  assert starts.with_share(phase, 0.0, SPEC) is phase
