"""One update of a network in training, and what it needs."""

from collections.abc import Callable
from typing import NamedTuple

from chex import ArrayTree
import flax
import jax
import jax.numpy as jnp
import optax

from jaxkd.data import augmentation, to_float
from jaxkd.models import layers
from jaxkd.runtime import devices
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
  """A network in training; several networks are stacked along a leading axis.

  Attributes:
    variables: of the network.
    opt_state: of its optimiser.
    step: number of updates so far, int32.
  """

  variables: Variables
  opt_state: optax.OptState
  step: Array


class TrainConfig(NamedTuple):
  """Says how a network is trained; hashable, so that it can be static.

  Attributes:
    apply: of the network.
    tx: the optimiser.
    objective: see `jaxkd.types.Objective`.
    augment: names in `jaxkd.data.augmentation.AUGMENTATIONS`, in order.
    per_view: whether the teacher labels every augmented view.
    synchronized: whether batch normalisation uses the statistics of the whole
      batch, not those of each device's part of it.
  """

  apply: ApplyFn
  tx: optax.GradientTransformation
  objective: Objective
  augment: tuple[str, ...] = ()
  per_view: bool = False
  synchronized: bool = False


class EpochInputs(NamedTuple):
  """The inputs of an epoch beside the batches, the same on every device.

  Attributes:
    hyper: numbers of the objective, `[E]` where E networks are trained.
    context: for the objective.
    key: of augmentation and dropout.
    teacher: that labels every view, if `TrainConfig.per_view`.
    first: index of the first network among all that have this key.
  """

  hyper: dict[str, Array]
  context: LossContext
  key: Array
  teacher: Classifier | None = None
  first: Array | int = 0


def init_state(
  network: Classifier, tx: optax.GradientTransformation
) -> TrainState:
  """Returns the state before the first update."""
  opt_state = tx.init(network.variables["params"])
  return TrainState(network.variables, opt_state, jnp.zeros((), jnp.int32))


def augment_batch(
  train_config: TrainConfig, batch: Samples, key: Array
) -> Samples:
  """Returns the batch `[B, ...]` with augmented float images."""
  images = augmentation.apply(train_config.augment, key, to_float(batch.images))
  return batch._replace(images=images)


def teacher_log_probs(teacher: Classifier, batch: Samples) -> Array:
  """Computes the teacher's log-probabilities `[B, K]` for a batch."""
  answers = jax.nn.log_softmax(teacher(batch.images).logits)
  return jax.lax.stop_gradient(answers)


def train_step(
  train_config: TrainConfig,
  state: TrainState,
  batch: Samples,
  inputs: EpochInputs,
  key: Array,
  average: Callable[[ArrayTree], ArrayTree] = lambda tree: tree,
) -> tuple[TrainState, Array]:
  """Makes one update on `batch [B, ...]`; returns the state and the mean loss.

  `average` is applied to everything that depends on the batch: it averages the
  gradients, the loss and the batch statistics over devices. `key` is that of
  dropout.
  """
  images = to_float(batch.images)

  def loss_of(params: Variables) -> tuple[Array, Variables]:
    axis = devices.DATA if train_config.synchronized else None
    with layers.batch_norm_over(axis):
      outputs, changed = train_config.apply(
        {**state.variables, "params": params}, images, train=True, rng=key
      )
    losses = train_config.objective(
      inputs.hyper, outputs, batch, inputs.context
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
