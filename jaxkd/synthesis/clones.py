"""Clones: students that a method trains in its rounds, on the same batches.

They are stacked along a leading axis E and differ in their initial weights.
Where clones disagree, at least one of them differs from the teacher.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.runtime import devices
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  init_state,
  train_step,
)
from jaxkd.types import (
  Array,
  LossContext,
  Networks,
  Objective,
  Samples,
  Variables,
)


class Clones(NamedTuple):
  """How clones are initialised, trained and asked.

  Attributes:
    members: E.
    tx: the optimiser of each.
    objective: their loss.
    hyper: its numbers.
  """

  members: int
  tx: optax.GradientTransformation
  objective: Objective
  hyper: dict[str, float]

  def init(self, nets: Networks, key: Array) -> TrainState:
    """Returns clones with random weights, `[E, ...]`."""
    clones = [
      init_state(
        nets.student.replace(variables=nets.init_student(key)), self.tx
      )
      for key in jax.random.split(key, self.members)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *clones)

  def variables(self, state: TrainState, index: int = 0) -> Variables:
    """Returns the variables of one of them."""
    return jax.tree.map(lambda leaf: leaf[index], state.variables)

  def logits(self, nets: Networks, state: TrainState, images: Array) -> Array:
    """Returns their logits `[E, N, K]`, in evaluation mode."""
    return jnp.stack(
      [
        nets.student.replace(variables=self.variables(state, index))(
          images
        ).logits
        for index in range(self.members)
      ]
    )

  def update(
    self,
    nets: Networks,
    state: TrainState,
    samples: Samples,
    key: Array,
    context: LossContext,
  ) -> tuple[TrainState, Array]:
    """Makes one update of each on `samples [N, ...]`.

    Returns:
      The clones, and their mean loss before the update.
    """
    config = TrainConfig(nets.student.apply, self.tx, self.objective)
    inputs = EpochInputs(
      {name: jnp.float32(value) for name, value in self.hyper.items()},
      context,
      key,
    )

    def step(clone: TrainState, key: Array) -> tuple[TrainState, Array]:
      return train_step(config, clone, samples, inputs, key)

    keys = jax.random.split(key, self.members)
    state, losses = devices.vmap_networks(step)(state, keys)
    return state, losses.mean()
