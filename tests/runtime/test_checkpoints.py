"""Checkpoints of a stage, and clean stops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.runtime import checkpoints as checkpointing
from jaxkd.runtime.checkpoints import Checkpoints


@pytest.fixture
def stop():
  """Sets the stop flag, and clears it afterwards."""
  yield checkpointing._stop.set
  checkpointing._stop.clear()


def tree(value):
  return {
    "epoch": value,
    "x": jnp.full(3, float(value)),
    "key": jax.random.key(value),
  }


def test_restore_without_a_checkpoint_is_none(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(tree(0)) is None


def test_the_last_step_is_restored_with_its_types(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.maybe_save(1, tree(1), last=True)
    checkpoints.maybe_save(2, tree(2), last=True)
  with Checkpoints(tmp_path) as checkpoints:
    saved = checkpoints.restore(tree(0))
  assert saved["epoch"] == 2
  np.testing.assert_array_equal(saved["x"], [2, 2, 2])
  assert jnp.issubdtype(saved["key"].dtype, jax.dtypes.prng_key)


def test_nothing_is_saved_before_it_is_due(tmp_path):
  with Checkpoints(tmp_path, every_s=1000) as checkpoints:
    checkpoints.maybe_save(1, tree(1))
    assert checkpoints.restore(tree(0)) is None


def test_a_stop_saves_before_it_raises(tmp_path, stop):
  with Checkpoints(tmp_path, every_s=1000) as checkpoints:
    stop()
    with pytest.raises(checkpointing.Preempted):
      checkpoints.maybe_save(4, tree(4))
    assert checkpoints.restore(tree(0))["epoch"] == 4
