"""An epoch of training as one dispatch, for several networks at once."""

import functools

import jax
import jax.numpy as jnp

from jaxkd.runtime import devices
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  augment_batch,
  teacher_log_probs,
  train_step,
)
from jaxkd.types import Array, Samples

LANES = 128  # of a TPU's vector registers

Epoch = devices.DataParallel[
  TrainState,
  tuple[EpochInputs, Samples],
  Array,
  tuple[TrainState, Array],
]


@functools.cache
def epoch_function(
  train_config: TrainConfig,
) -> Epoch:
  """Returns `(states, (inputs, samples), indices) -> (states, loss)`.

  The memory of the given states is used again. It is compiled once for each
  `train_config`. All networks see the same views, which the teacher labels once
  for all of them, before the first update.

  The states are stacked over networks, `[E, ...]`; the samples are `[N, ...]`;
  the indices are those of `epoch_indices`. The loss is `[E]`, the mean over the
  epoch.
  """

  def epoch(
    states: TrainState, shared: tuple[EpochInputs, Samples], indices: Array
  ) -> tuple[TrainState, Array]:
    inputs, samples = shared
    flat = jax.tree.map(as_rows, samples)
    key = jax.random.fold_in(inputs.key, devices.device_index())
    steps = states.step[0] + jnp.arange(len(indices))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, steps)
    pairs = jax.vmap(jax.random.split)(keys)
    view_keys, dropout_keys = pairs[:, 0], pairs[:, 1]

    def views(rows: Array, key: Array) -> Samples:
      batch = jax.tree.map(
        lambda leaf, like: leaf.reshape(-1, *like.shape[1:]),
        gather(flat, rows),
        samples,
      )
      return augment_batch(train_config, batch, key)

    targets = None
    if train_config.per_view:
      targets = jax.lax.map(
        lambda batch: teacher_log_probs(inputs.teacher, views(*batch)),
        (indices, view_keys),
      )

    def train(state: TrainState, hyper: dict[str, Array], index: Array):
      own_inputs = inputs._replace(hyper=hyper)

      def step(state: TrainState, xs: tuple[Array, ...]):
        rows, targets, view_key, dropout_key = xs
        batch = views(rows, view_key)
        if train_config.per_view:
          batch = batch._replace(targets=targets)
        dropout_key = jax.random.fold_in(dropout_key, index)
        return train_step(
          train_config, state, batch, own_inputs, dropout_key, devices.mean
        )

      state, losses = jax.lax.scan(
        step, state, (indices, targets, view_keys, dropout_keys)
      )
      return state, losses.mean()

    networks = inputs.first + jnp.arange(len(states.step))
    return devices.vmap_networks(train)(states, inputs.hyper, networks)

  return devices.DataParallel(epoch)


@functools.partial(jax.jit, static_argnames=("count", "batch_size"))
def epoch_indices(key: Array, count: int, batch_size: int) -> Array:
  """Draws the batches of an epoch as indices of samples, `[D, steps, B / D]`.

  The permutation of the `count` samples is global, so the batches do not depend
  on the number of devices. The last, incomplete batch is left out.
  """
  steps = count // batch_size
  rows = jax.random.permutation(key, count)[: steps * batch_size]
  return devices.split_batches(rows.reshape(steps, batch_size))


def as_rows(leaf: Array) -> Array:
  """Returns one array of samples `[N, ...]` as batches are taken out of it.

  A TPU takes rows of a matrix `[N, D]` as they are. Before it takes images out
  of `[N, H, W, C]` it copies all of them into a layout in which W fills up its
  lanes: four times the size for 32 pixels. From as many pixels as lanes the
  copy into a matrix takes more: 24 GB in place of 9 for 12,672 images of 224.
  """
  if leaf.ndim == 4 and leaf.shape[2] >= LANES:
    return leaf
  return leaf.reshape(len(leaf), -1)


def gather(samples: Samples, rows: Array) -> Samples:
  """Returns the samples at these rows; all indices are in bounds."""
  return jax.tree.map(
    lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), samples
  )
