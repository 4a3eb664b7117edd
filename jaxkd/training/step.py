"""One update of a network in training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax

from jaxkd.data import augmentation, to_float
from jaxkd.models import layers
from jaxkd.runtime import devices as parallel
from jaxkd.types import (
  ApplyFn,
  Array,
  Classifier,
  LossContext,
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


class TrainConfig(NamedTuple):
  """How a network is trained; hashable, so that it can be static.

  Attributes:
    apply: of the network.
    tx: the optimiser.
    objective: see `jaxkd.types.Objective`.
    augment: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
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


class EpochInputs(NamedTuple):
  """What an epoch needs beside the batches; the same on every device.

  `hyper` has leaves `[E]` where E networks train together; `first` is the index
  of the first of them among all that have this key.
  """

  hyper: dict[str, Array]
  context: LossContext
  key: Array
  teacher: Classifier | None = None
  first: Array | int = 0


def init_state(
  network: Classifier, tx: optax.GradientTransformation
) -> TrainState:
  """The state before the first step."""
  opt_state = tx.init(network.variables["params"])
  return TrainState(network.variables, opt_state, jnp.zeros((), jnp.int32))


def augment_batch(
  train_config: TrainConfig, batch: Samples, key: Array
) -> Samples:
  """The batch `[B, ...]` as networks are shown it: as floats, augmented."""
  images = augmentation.apply(train_config.augment, key, to_float(batch.images))
  return batch._replace(images=images)


def teacher_log_probs(teacher: Classifier, batch: Samples) -> Array:
  """The teacher's log-probabilities `[B, K]` for a view of a batch."""
  answers = jax.nn.log_softmax(teacher(batch.images).logits)
  return jax.lax.stop_gradient(answers)


def train_step(
  train_config: TrainConfig,
  state: TrainState,
  batch: Samples,
  lesson: EpochInputs,
  key: Array,
  average: Callable[[Any], Any] = lambda tree: tree,
) -> tuple[TrainState, Array]:
  """One update on `batch [B, ...]`; returns the new state and the mean loss.

  `average` is applied to all that depends on the batch: over devices, the
  gradients, the loss and the batch statistics. `key` is that of dropout.
  """
  images = to_float(batch.images)

  def loss_of(params: Variables) -> tuple[Array, Variables]:
    axis = parallel.DATA if train_config.synchronized else None
    with layers.batch_norm_over(axis):
      outputs, changed = train_config.apply(
        {**state.variables, "params": params}, images, train=True, rng=key
      )
    losses = train_config.objective(
      lesson.hyper, outputs, batch, lesson.context
    )
    return losses.mean(), changed

  params = state.variables["params"]
  (loss, changed), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
  loss, changed, grads = average((loss, changed, grads))
  updates, opt_state = train_config.tx.update(grads, state.opt_state, params)
  variables = {
    **state.variables,
    **changed,
    "params": optax.apply_updates(params, updates),
  }
  return TrainState(variables, opt_state, state.step + 1), loss
