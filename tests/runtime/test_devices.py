"""Placement of arrays on two host devices, which conftest.py forces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.errors import BudgetExhausted
from jaxkd.runtime import devices, parallel, processes


def test_there_are_two_devices():
  assert jax.device_count() == 2


def test_over_sets_splits_and_joins():
  def scale(shared, batched):
    return {"y": shared * batched, "local": jnp.full(1, batched.shape[0])}

  result = devices.over_sets(scale)(jnp.float32(3), jnp.arange(6.0))
  np.testing.assert_allclose(result["y"], 3 * np.arange(6.0))
  np.testing.assert_array_equal(result["local"], [3, 3])


def test_data_parallel_gradient_is_that_of_the_whole_batch():
  batch = jax.random.normal(jax.random.key(0), (8, 3))
  weights = jnp.array([1.0, -2.0, 0.5])

  def loss(weights, batch):
    return jnp.mean((batch @ weights) ** 2)

  def gradient(weights, shared, batch):
    del shared
    return parallel.mean(jax.grad(loss)(weights, batch))

  split = batch.reshape(2, 4, 3)
  expected = jax.grad(loss)(weights, batch)
  np.testing.assert_allclose(
    parallel.DataParallel(gradient)(weights, None, split), expected, rtol=1e-5
  )


def test_split_batches_keeps_every_batch_together():
  batches = jnp.arange(12).reshape(3, 4)  # three steps of four samples
  split = parallel.split_batches(batches)
  assert split.shape == (2, 3, 2)
  for step in range(3):
    np.testing.assert_array_equal(
      np.sort(split[:, step].ravel()), batches[step]
    )


def test_a_device_has_no_more_than_its_slice():
  (split,) = jax.jit(lambda x: [parallel.split_batches(x)])(jnp.ones((3, 4)))
  shapes = [shard.data.shape for shard in split.addressable_shards]
  assert shapes == [(1, 3, 2), (1, 3, 2)]


def test_a_single_process_agrees_with_itself():
  assert not processes.is_multiprocess()
  assert processes.is_primary()
  assert processes.broadcast(7) == 7
  assert processes.any_process(True, False) == (True, False)
  tree = {"x": jnp.ones(2)}
  assert devices.to_local(tree) is tree
  processes.check_same("anything", "at all")
  with pytest.raises(BudgetExhausted, match="spent"), processes.raise_on_all():
    raise BudgetExhausted("spent")


def test_ensemble_equals_a_loop():
  def f(x, y):
    return x + y, x * y

  xs, ys = jnp.arange(3.0), jnp.arange(3.0) + 1
  sums, products = parallel.vmap_networks(f)(xs, ys)
  np.testing.assert_allclose(sums, xs + ys)
  np.testing.assert_allclose(products, xs * ys)
