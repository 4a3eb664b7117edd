"""An epoch of training as one dispatch, for several networks at once."""

from collections.abc import Callable
import functools

from chex import ArrayTree
import jax
import jax.numpy as jnp

from jaxkd.runtime import devices, parallel
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

Shared = tuple[EpochInputs, Samples]
Numbers = tuple[dict[str, Array], Array]


class Epoch:
  """An epoch of training, `(states, (inputs, samples), indices) -> (states,
  loss)`, in one dispatch.

  The memory of the given states is used again. All networks see the same views,
  which the teacher labels once for all of them, before the first update. The
  devices divide every batch, or the networks (`jaxkd.runtime.parallel`).

  The states are stacked over networks, `[E, ...]`; the samples are `[N, ...]`;
  the indices are those of `epoch_indices`. The loss is `[E]`, the mean over the
  epoch.
  """

  def __init__(self, train_config: TrainConfig):
    def over_batches(
      states: TrainState, shared: Shared, indices: Array
    ) -> tuple[TrainState, Array]:
      key = jax.random.fold_in(shared[0].key, parallel.device_index())
      networks = states, _numbers(states, shared[0])
      return _epoch(train_config, networks, shared, indices, key, parallel.mean)

    def over_networks(
      shared: tuple[Shared, Array], networks: tuple[TrainState, Numbers]
    ) -> tuple[TrainState, Array]:
      shared, indices = shared
      key = jax.random.fold_in(shared[0].key, 0)
      batches = parallel.join_batches(indices)
      alone = train_config._replace(synchronized=False)
      return _epoch(alone, networks, shared, batches, key, lambda tree: tree)

    self._over_batches = parallel.DataParallel(over_batches)
    self._over_networks = parallel.NetworkParallel(over_networks)

  def __call__(
    self, states: TrainState, shared: Shared, indices: Array
  ) -> tuple[TrainState, Array]:
    if not parallel.divides_networks(len(states.step)):
      return self._over_batches(states, shared, indices)
    numbers = _numbers(states, shared[0])
    return self._over_networks(states, numbers, (shared, indices))

  def program(
    self, states: TrainState, shared: Shared, indices: Array
  ) -> devices.Program:
    """Returns what is dispatched, with shapes; also for a compile target."""
    if not parallel.divides_networks(len(states.step)):
      return self._over_batches.program(states, shared, indices)
    numbers = jax.eval_shape(_numbers, states, shared[0])
    return self._over_networks.program(states, numbers, (shared, indices))


# Once for each `train_config`, so that it is compiled once.
epoch_function = functools.cache(Epoch)


def _numbers(states: TrainState, inputs: EpochInputs) -> Numbers:
  """Returns what differs between networks beside their states: the numbers of
  the objective, and an index.
  """
  return inputs.hyper, inputs.first + jnp.arange(len(states.step))


def _epoch(
  train_config: TrainConfig,
  networks: tuple[TrainState, Numbers],
  shared: Shared,
  indices: Array,
  key: Array,
  average: Callable[[ArrayTree], ArrayTree],
) -> tuple[TrainState, Array]:
  """Trains networks on batches of one device, `indices [steps, B]`."""
  states, (hyper, numbers) = networks
  inputs, samples = shared
  flat = jax.tree.map(as_rows, samples)
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
        train_config, state, batch, own_inputs, dropout_key, average
      )

    state, losses = jax.lax.scan(
      step, state, (indices, targets, view_keys, dropout_keys)
    )
    return state, losses.mean()

  return parallel.vmap_networks(train)(states, hyper, numbers)


@functools.partial(jax.jit, static_argnames=("count", "batch_size"))
def epoch_indices(key: Array, count: int, batch_size: int) -> Array:
  """Draws the batches of an epoch as indices of samples, `[D, steps, B / D]`.

  The permutation of the `count` samples is global, so the batches do not depend
  on the number of devices. The last, incomplete batch is left out.
  """
  steps = count // batch_size
  rows = jax.random.permutation(key, count)[: steps * batch_size]
  return parallel.split_batches(rows.reshape(steps, batch_size))


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
