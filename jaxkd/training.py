"""Training networks on samples: teachers on real data, students on stored
samples. An epoch is one dispatch; seeds and points of a grid train at once.
"""

from collections.abc import Callable
import functools
from pathlib import Path
import time
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxkd import memory, objectives, parallel
from jaxkd.checkpointing import Checkpoints
from jaxkd.data import to_float
from jaxkd.metrics import MetricsWriter
from jaxkd.models import layers
from jaxkd.progress import Progress
from jaxkd.synthesis import augment
from jaxkd.types import (
  ApplyFn,
  Array,
  Classifier,
  Context,
  JaxkdError,
  Objective,
  Samples,
  Variables,
)


@flax.struct.dataclass
class TrainState:
  """A network in training; leaves have a leading axis where several train
  together.
  """

  variables: Variables
  opt_state: optax.OptState
  step: Array


class Recipe(NamedTuple):
  """How a network is trained; hashable, so that it can be static.

  Attributes:
    apply: of the network.
    tx: the optimiser.
    objective: see `jaxkd.types.Objective`.
    augment: names in `jaxkd.synthesis.augment.AUGMENTATIONS`, in order.
    per_view: whether the teacher answers every augmented view.
    synchronized: whether BatchNorm takes its statistics from the whole batch,
      not from each device's share of it.
  """

  apply: ApplyFn
  tx: optax.GradientTransformation
  objective: Objective
  augment: tuple[str, ...] = ()
  per_view: bool = False
  synchronized: bool = False


class Lesson(NamedTuple):
  """What an epoch needs beside the batches; the same on every device.

  `hyper` has leaves `[E]` where E networks train together; `first` is the index
  of the first of them among all that have this key.
  """

  hyper: dict[str, Array]
  context: Context
  key: Array
  teacher: Classifier | None = None
  first: Array | int = 0


def create(network: Classifier, tx: optax.GradientTransformation) -> TrainState:
  """The state before the first step."""
  opt_state = tx.init(network.variables["params"])
  return TrainState(network.variables, opt_state, jnp.zeros((), jnp.int32))


def view(recipe: Recipe, batch: Samples, key: Array) -> Samples:
  """The batch `[B, ...]` as networks are shown it: as floats, augmented."""
  images = augment.apply(recipe.augment, key, to_float(batch.images))
  return batch._replace(images=images)


def answered(teacher: Classifier, batch: Samples) -> Array:
  """The teacher's log-probabilities `[B, K]` for a view of a batch."""
  answers = jax.nn.log_softmax(teacher(batch.images).logits)
  return jax.lax.stop_gradient(answers)


def train_step(
  recipe: Recipe,
  state: TrainState,
  batch: Samples,
  lesson: Lesson,
  key: Array,
  average: Callable[[Any], Any] = lambda tree: tree,
) -> tuple[TrainState, Array]:
  """One update on `batch [B, ...]`; returns the new state and the mean loss.

  `average` is applied to all that depends on the batch: over devices, the
  gradients, the loss and the batch statistics. `key` is that of dropout.
  """
  images = to_float(batch.images)

  def loss_of(params: Variables) -> tuple[Array, Variables]:
    axis = parallel.DATA if recipe.synchronized else None
    with layers.batch_norm_over(axis):
      outputs, changed = recipe.apply(
        {**state.variables, "params": params}, images, train=True, rng=key
      )
    losses = recipe.objective(lesson.hyper, outputs, batch, lesson.context)
    return losses.mean(), changed

  params = state.variables["params"]
  (loss, changed), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
  loss, changed, grads = average((loss, changed, grads))
  updates, opt_state = recipe.tx.update(grads, state.opt_state, params)
  variables = {
    **state.variables,
    **changed,
    "params": optax.apply_updates(params, updates),
  }
  return TrainState(variables, opt_state, state.step + 1), loss


@functools.cache
def epoch_function(recipe: Recipe) -> Callable[..., tuple[TrainState, Array]]:
  """`((states, lesson, samples), order) -> (states, loss)`, compiled once per
  recipe.

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
      return view(recipe, batch_of(samples, rows), key)

    targets = None
    if recipe.per_view:
      targets = jax.lax.map(
        lambda batch: answered(lesson.teacher, shown(*batch)),
        (order, view_keys),
      )

    def train(state: TrainState, hyper: dict[str, Array], index: Array):
      mine = lesson._replace(hyper=hyper)

      def step(state: TrainState, turn: tuple[Array, ...]):
        rows, targets, view_key, dropout_key = turn
        batch = shown(rows, view_key)
        if recipe.per_view:
          batch = batch._replace(targets=targets)
        dropout_key = jax.random.fold_in(dropout_key, index)
        return train_step(
          recipe, state, batch, mine, dropout_key, parallel.mean
        )

      state, losses = jax.lax.scan(
        step, state, (order, targets, view_keys, dropout_keys)
      )
      return state, losses.mean()

    networks = lesson.first + jnp.arange(len(states.step))
    return parallel.ensemble(train)(states, lesson.hyper, networks)

  return parallel.data_parallel(epoch)


@functools.partial(jax.jit, static_argnames=("count", "batch_size"))
def order(key: Array, count: int, batch_size: int) -> Array:
  """One epoch's batches as rows of `count` samples, `[D, steps, B / D]`.

  The permutation is global, so the batches do not depend on the number of
  devices; the last incomplete batch is left out.
  """
  steps = count // batch_size
  rows = jax.random.permutation(key, count)[: steps * batch_size]
  return parallel.split_batches(rows.reshape(steps, batch_size))


def batch_of(samples: Samples, rows: Array) -> Samples:
  """The samples of these rows, all of which there are."""
  return jax.tree.map(
    lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), samples
  )


def check_batch_size(batch_size: int, count: int, field: str) -> int:
  """`batch_size`, or all samples if there are fewer, rounded to the devices.

  Raises:
    JaxkdError: if it can't be split evenly over the devices.
  """
  devices = jax.device_count()
  size = min(batch_size, count // devices * devices)
  if size == 0 or size % devices:
    raise JaxkdError(
      f"{field}={batch_size} can't be split over {devices} devices; choose a "
      f"multiple of {devices}."
    )
  return size


def fit(
  stage: str,
  recipe: Recipe,
  states: TrainState,
  samples: Samples,
  *,
  epochs: int,
  batch_size: int,
  num_classes: int,
  hyper: dict[str, float | Array],
  key: Array,
  teacher: Classifier | None,
  workdir: Path,
  metrics: MetricsWriter,
  steer: str,
  first: int = 0,
  watch: Callable[[int, TrainState], None] = lambda epoch, states: None,
) -> TrainState:
  """Trains `states [E, ...]` for `epochs` over `samples`.

  It goes on where the stage's checkpoints in `workdir` stand. The networks may
  differ in their initial weights and in `hyper` (numbers, or arrays `[E]`);
  they see the same batches and the same views of them.

  Args:
    steer: fields of the config that keep the loss finite, for messages.
    first: networks that train apart with the same key, before these.
    watch: is handed every epoch (from 1) and its states; after a resume it may
      see an epoch again.

  Raises:
    JaxkdError: if no network's loss is finite any more. One of several that
      diverges alone goes on as it is, and is judged as it is.
    Preempted: if the run was told to stop; the state is saved.
  """
  states, samples, teacher = parallel.replicate((states, samples, teacher))
  labels = objectives.labels_of(samples)
  counts = objectives.class_counts(labels, num_classes)
  together = len(states.step)
  hyper = {
    name: jnp.broadcast_to(jnp.float32(value), (together,))
    for name, value in hyper.items()
  }
  run_epoch = epoch_function(recipe)
  with Checkpoints(workdir / "checkpoints" / stage) as checkpoints:
    saved = {"epoch": 0, "states": states}
    saved = checkpoints.restore(saved) or saved
    states, start = saved["states"], int(saved["epoch"])
    metrics.rewind(stage, start)
    with (
      Progress(epochs, stage, "epochs", done=start) as progress,
      metrics.traced(stage, range(start, epochs)) as turns,
    ):
      for epoch in turns:
        began = time.monotonic()
        shuffle_key, lesson_key = jax.random.split(
          jax.random.fold_in(key, epoch)
        )
        context = Context(jnp.int32(epoch), counts)
        lesson = Lesson(hyper, context, lesson_key, teacher, jnp.int32(first))
        states, loss = run_epoch(
          (states, lesson, samples), order(shuffle_key, len(labels), batch_size)
        )
        loss = jax.device_get(loss)  # also keeps forced host devices in step
        if not np.isfinite(loss).any():
          raise JaxkdError(
            f"The loss of stage {stage} is {loss} in epoch {epoch + 1}; lower "
            f"{steer}."
          )
        seconds = time.monotonic() - began
        metrics.write(
          stage,
          epoch + 1,
          loss=loss,
          seconds=seconds,
          peak_bytes=memory.peak_bytes(),
        )
        progress.advance(1, loss=loss.mean())
        watch(epoch + 1, parallel.gathered(states))
        checkpoints.tick(
          epoch + 1,
          {"epoch": epoch + 1, "states": states},
          last=epoch + 1 == epochs,
        )
  return parallel.gathered(states)
