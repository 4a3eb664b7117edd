"""Students that select images: trained anew in every round, on all answers.

They are stacked along a leading axis E. Their updates are steps of SGD whose
rate and momentum follow a one-cycle over the round.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.evaluation.predictions import log_probs
from jaxkd.runtime import devices
from jaxkd.synthesis import replay
from jaxkd.synthesis.replay import PassState
from jaxkd.synthesis.selection_fields import SelectionConfig
from jaxkd.training import optimisers, sample_store as stores
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
  LossTerms,
  Networks,
  Objective,
  Phase,
  Samples,
  Variables,
)


class SelectingState(NamedTuple):
  """The students, and the position in their training.

  Attributes:
    students: stacked, `[E, ...]`.
    passes: position in this round's passes over the store.
  """

  students: TrainState
  passes: PassState


class SelectingStudents(NamedTuple):
  """How the students are initialised, trained and asked.

  Attributes:
    select: their number and how they are trained.
    objective: their loss.
    hyper: its numbers.
    num_classes: K.
  """

  select: SelectionConfig
  objective: Objective
  hyper: dict[str, float]
  num_classes: int

  def init(self, nets: Networks, key: Array) -> SelectingState:
    """Returns students with new random weights, before their first update."""
    order_key, weights_key = jax.random.split(key)
    tx = self._optimiser()
    students = [
      init_state(nets.student.replace(variables=nets.init_student(key)), tx)
      for key in jax.random.split(weights_key, self.select.members)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *students)
    return SelectingState(stacked, replay.start_passes(order_key))

  def variables(self, state: SelectingState, index: int = 0) -> Variables:
    """Returns the variables of one of the students."""
    return jax.tree.map(lambda leaf: leaf[index], state.students.variables)

  def predict(
    self, nets: Networks, state: SelectingState, images: Array
  ) -> Array:
    """Returns the students' log-probabilities `[E, N, K]`."""
    students = [
      nets.student.replace(variables=self.variables(state, index))
      for index in range(self.select.members)
    ]
    return jnp.stack([log_probs(student, images) for student in students])

  def num_updates(self, stored: Array | int) -> Array:
    """Counts the updates of a student in a round with `stored` answers."""
    epochs = jnp.clip(
      self.select.visits // jnp.maximum(stored, 1),
      self.select.min_epochs,
      self.select.max_epochs,
    )
    return epochs * replay.batches_per_pass(stored, self.select.batch_size)

  def phase(self) -> Phase:
    """Returns the phase in which they are trained on the stored answers."""
    return Phase(
      self.next_batch,
      self.update,
      repeats=self.num_updates,
      store=False,
      queries=False,
    )

  def next_batch(
    self, state: SelectingState, nets: Networks, key: Array
  ) -> tuple[SelectingState, Samples, LossTerms]:
    """Returns the next batch of passes over the store in random order."""
    del key
    passes, samples = replay.next_batch(
      state.passes, nets.store, self.select.batch_size
    )
    return state._replace(passes=passes), samples, {}

  def update(
    self, state: SelectingState, nets: Networks, samples: Samples, key: Array
  ) -> tuple[SelectingState, Samples, LossTerms]:
    """Makes one update of every student, on the batch of `next_batch`."""
    index = state.passes.batch - 1
    total = self.num_updates(nets.store.inserted)
    rates = self._rates(index / jnp.maximum(total - 1, 1))
    config = TrainConfig(nets.student.apply, self._optimiser(), self.objective)
    counts = stores.label_counts(nets.store, self.num_classes)
    inputs = EpochInputs(
      {name: jnp.float32(value) for name, value in self.hyper.items()},
      LossContext(index, counts),
      key,
    )

    def step(student: TrainState, key: Array) -> tuple[TrainState, Array]:
      opt_state = optax.tree.set(student.opt_state, **rates)
      student = student.replace(opt_state=opt_state)
      return train_step(config, student, samples, inputs, key)

    keys = jax.random.split(key, self.select.members)
    students, losses = devices.vmap_networks(step)(state.students, keys)
    state = state._replace(students=students)
    return state, samples, {"members": losses.mean()}

  def _optimiser(self) -> optax.GradientTransformation:
    """Returns SGD whose rate and momentum are set before every update."""
    return optax.chain(
      optax.add_decayed_weights(self.select.weight_decay),
      optax.inject_hyperparams(optax.sgd)(
        learning_rate=self.select.learning_rate, momentum=0.9
      ),
    )

  def _rates(self, progress: Array) -> dict[str, Array]:
    """Returns the one-cycle's rate and momentum; progress goes from 0 to 1."""
    ticks, peak = 1000, self.select.learning_rate
    at = progress * (ticks - 1)
    return {
      "learning_rate": optimisers.cosine_cycle(
        ticks, peak / 25, peak, peak / 25e4
      )(at),
      "momentum": optimisers.cosine_cycle(ticks, 0.95, 0.85, 0.95)(at),
    }
