"""One epoch of training as one dispatch, for several networks at once."""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp

from jaxkd.runtime import devices as parallel
from jaxkd.training.step import (
  TrainConfig,
  TrainState,
  augment_batch,
  teacher_log_probs,
  train_step,
)
from jaxkd.types import (
  Array,
  Samples,
)


@functools.cache
def epoch_function(
  train_config: TrainConfig,
) -> Callable[..., tuple[TrainState, Array]]:
  """`((states, lesson, samples), order) -> (states, loss)`, compiled once per
  train_config.

  All networks see the same views, which the teacher answers once for all of
  them, before the first of them learns.

  Args of the result: states stacked over networks `[E, ...]`; samples
  `[N, ...]`; which of them make up the batches, see `order`. The loss is `[E]`,
  the mean over the epoch.
  """

  def epoch(carry, order: Array):
    states, lesson, samples = carry
    key = jax.random.fold_in(lesson.key, parallel.device_index())
    taken = states.step[0] + jnp.arange(len(order))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, taken)
    pairs = jax.vmap(jax.random.split)(keys)
    view_keys, dropout_keys = pairs[:, 0], pairs[:, 1]

    def shown(rows: Array, key: Array) -> Samples:
      return augment_batch(train_config, gather(samples, rows), key)

    targets = None
    if train_config.per_view:
      targets = jax.lax.map(
        lambda batch: teacher_log_probs(lesson.teacher, shown(*batch)),
        (order, view_keys),
      )

    def train(state: TrainState, hyper: dict[str, Array], index: Array):
      mine = lesson._replace(hyper=hyper)

      def step(state: TrainState, turn: tuple[Array, ...]):
        rows, targets, view_key, dropout_key = turn
        batch = shown(rows, view_key)
        if train_config.per_view:
          batch = batch._replace(targets=targets)
        dropout_key = jax.random.fold_in(dropout_key, index)
        return train_step(
          train_config, state, batch, mine, dropout_key, parallel.mean
        )

      state, losses = jax.lax.scan(
        step, state, (order, targets, view_keys, dropout_keys)
      )
      return state, losses.mean()

    networks = lesson.first + jnp.arange(len(states.step))
    return parallel.vmap_networks(train)(states, lesson.hyper, networks)

  return parallel.data_parallel(epoch)


@functools.partial(jax.jit, static_argnames=("count", "batch_size"))
def epoch_indices(key: Array, count: int, batch_size: int) -> Array:
  """One epoch's batches as rows of `count` samples, `[D, steps, B / D]`.

  The permutation is global, so the batches do not depend on the number of
  devices; the last incomplete batch is left out.
  """
  steps = count // batch_size
  rows = jax.random.permutation(key, count)[: steps * batch_size]
  return parallel.split_batches(rows.reshape(steps, batch_size))


def gather(samples: Samples, rows: Array) -> Samples:
  """The samples of these rows, all of which there are."""
  return jax.tree.map(
    lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), samples
  )
