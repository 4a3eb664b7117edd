"""Students that select images: trained anew in every round, on all answers.

They are stacked along a leading axis E. Their updates are steps of SGD whose
rate and momentum follow a one-cycle over the round.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd.evaluation.predictions import log_probs
from jaxkd.synthesis import replay
from jaxkd.synthesis.clones import Clones
from jaxkd.synthesis.replay import PassState
from jaxkd.synthesis.selection_fields import SelectionConfig
from jaxkd.training import optimisers, sample_store as stores
from jaxkd.training.step import TrainState
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
    students = self._clones().init(nets, weights_key)
    return SelectingState(students, replay.start_passes(order_key))

  def variables(self, state: SelectingState, index: int = 0) -> Variables:
    """Returns the variables of one of the students."""
    return self._clones().variables(state.students, index)

  def predict(
    self, nets: Networks, state: SelectingState, images: Array
  ) -> Array:
    """Returns the students' log-probabilities `[E, N, K]`."""
    students = self._clones().networks(nets, state.students)
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
    counts = stores.label_counts(nets.store, self.num_classes)
    rates = {
      name: jnp.full(self.select.members, x) for name, x in rates.items()
    }
    students = state.students
    students = students.replace(
      opt_state=optax.tree.set(students.opt_state, **rates)
    )
    context = LossContext(index, counts)
    students, loss = self._clones().update(
      nets, students, samples, key, context
    )
    return state._replace(students=students), samples, {"members": loss}

  def _clones(self) -> Clones:
    return Clones(
      self.select.members, self._optimiser(), self.objective, self.hyper
    )

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
