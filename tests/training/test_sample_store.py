import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxkd.data.labels import class_counts, labels_of
from jaxkd.training import sample_store as stores
from jaxkd.types import Samples


def samples(first, count):
  labels = jnp.arange(first, first + count, dtype=jnp.int32)
  return Samples(labels[:, None] * jnp.ones((1, 2)), labels % 3)


def filled(store):
  return np.asarray(store.samples.images[:, 0]).tolist()


def test_insert_appends_then_overwrites_the_oldest():
  store = stores.init(5, samples(0, 2))
  for first in (0, 2, 4):
    store = jax.jit(stores.insert)(store, samples(first, 2))
  assert filled(store) == [5, 1, 2, 3, 4]
  assert int(store.inserted) == 6


def test_aligned_samples_are_one_block():
  store = stores.init(4, samples(0, 2))
  insert = jax.jit(stores.insert, static_argnames="aligned")
  for first in (0, 2, 4):
    store = insert(store, samples(first, 2), aligned=True)
  assert filled(store) == [4, 5, 2, 3]


def test_more_than_fits_is_an_error():
  store = stores.init(2, samples(0, 1))
  with pytest.raises(ValueError, match="3 samples into a store of 2"):
    stores.insert(store, samples(0, 3))


def test_label_counts_leave_out_empty_slots():
  store = stores.insert(stores.init(10, samples(0, 1)), samples(0, 4))
  np.testing.assert_array_equal(stores.label_counts(store, 3), [2, 1, 1])


def test_label_counts_of_answered_labels():
  answered = samples(0, 4)._replace(targets=jnp.array([2, 2, 2, 0]))
  store = stores.insert(stores.init(4, answered), answered)
  np.testing.assert_array_equal(stores.label_counts(store, 3), [1, 0, 3])


def test_extras_travel_along():
  one = samples(0, 2)._replace(extras={"step_size": jnp.array([0.1, 0.2])})
  store = stores.insert(stores.init(3, one), one)
  np.testing.assert_allclose(store.samples.extras["step_size"], [0.1, 0.2, 0.0])


def test_a_pass_shows_every_sample_before_it_repeats_one():
  store = stores.insert(stores.init(8, samples(0, 5)), samples(0, 5))
  key = jax.random.key(0)
  batch = jax.jit(stores.shuffled_batch, static_argnums=3)
  seen = [
    np.asarray(batch(store, key, index, 2).images)[:, 0] for index in range(3)
  ]
  assert set(np.concatenate(seen).tolist()) == set(range(5))
  again = np.asarray(batch(store, key, 0, 2).images)[:, 0]
  np.testing.assert_array_equal(seen[0], again)


@pytest.mark.parametrize("held", [1, 2, 7, 50, 97])
def test_a_pass_is_a_permutation_of_what_is_held(held):
  store = stores.insert(stores.init(97, samples(0, 1)), samples(0, held))
  batch = jax.jit(stores.shuffled_batch, static_argnums=3)

  def one_pass(seed):
    key = jax.random.key(seed)
    batches = [batch(store, key, index, 5) for index in range(-(-held // 5))]
    return np.concatenate([each.images[:, 0] for each in batches])

  first, second = one_pass(0), one_pass(1)
  assert sorted(first[:held]) == sorted(second[:held]) == list(range(held))
  np.testing.assert_array_equal(
    first[held:], np.resize(first, len(first))[: len(first) - held]
  )
  assert held < 5 or (first != second).any()


def test_a_pass_shows_every_order_as_often():
  store = stores.insert(stores.init(4, samples(0, 1)), samples(0, 4))
  keys = jax.random.split(jax.random.key(0), 4800)
  batch = jax.vmap(lambda key: stores.shuffled_batch(store, key, 0, 4))
  orders = np.asarray(jax.jit(batch)(keys).images)[..., 0]
  _, counts = np.unique(orders, axis=0, return_counts=True)
  assert len(counts) == 24
  assert np.sum((counts - 200) ** 2 / 200) < 50  # 5 in 10,000 exceed it


def test_a_batch_of_a_full_store_does_not_sort_it():
  store = stores.init(100_000, samples(0, 1))
  program = jax.make_jaxpr(
    lambda key: stores.shuffled_batch(store, key, 0, 250)
  )(jax.random.key(0))
  assert " sort[" not in str(program)


def test_labels_that_nobody_gave_are_not_counted():
  some = Samples(jnp.zeros((4, 2)), jnp.array([0, -1, 2, -1]))
  store = stores.insert(stores.init(6, some), some)
  np.testing.assert_array_equal(stores.label_counts(store, 3), [1, 0, 1])


@pytest.mark.parametrize(
  "targets",
  [jnp.array([1, 1, 1, 2]), jnp.log(jnp.eye(3)[jnp.array([1, 1, 1, 2])] + 0.1)],
)
def test_classes_are_counted_as_the_teacher_says(targets):
  meant = jnp.array([0, 1, 2, 0])
  answered = Samples(jnp.zeros((4, 2)), meant, targets)
  store = stores.insert(stores.init(6, answered), answered)
  np.testing.assert_array_equal(stores.label_counts(store, 3), [0, 3, 1])
  counts = class_counts(labels_of(answered), 3)
  np.testing.assert_array_equal(counts, [0, 3, 1])
