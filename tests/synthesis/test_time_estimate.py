"""How many images an accelerator optimises within ten seconds."""

import jax
import pytest

from jaxkd import models
from jaxkd.data import spec as data_spec
from jaxkd.runtime import accelerators
from jaxkd.runtime.accelerators import ACCELERATORS
from jaxkd.synthesis import time_estimate

SPEC = data_spec("mnist", image_size=32)


def lenet():
  return models.with_compute_dtype(models.abstract("lenet5", SPEC), "bfloat16")


def test_the_time_of_a_step_is_near_that_of_the_compiler():
  """That of libtpu 0.0.42.1 estimates 1,490 cycles of a v5e for LeNet-5."""
  seconds = time_estimate.image_step_seconds(lenet(), SPEC, ACCELERATORS["v5e"])
  assert seconds == pytest.approx(1490 / 1.5e9, rel=0.3)


def test_a_dispatch_of_known_devices_takes_ten_seconds(monkeypatch):
  assert time_estimate.images_per_dispatch(lenet(), SPEC, 256) is None
  known = ACCELERATORS["v5e"]
  monkeypatch.setattr(accelerators, "find", lambda device_kind: known)
  images = time_estimate.images_per_dispatch(lenet(), SPEC, 256)
  each = 256 * time_estimate.image_step_seconds(lenet(), SPEC, known)
  per_device = images / jax.device_count()
  assert per_device * each == pytest.approx(time_estimate.SECONDS, rel=1e-3)
  # A step that takes longer than that is a dispatch all the same.
  images = time_estimate.images_per_dispatch(lenet(), SPEC, 10**9)
  assert images == jax.device_count()
