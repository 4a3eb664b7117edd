"""Clones: students that a method trains in its rounds, on the same batches.

They are stacked along a leading axis E and differ in their initial weights.
Where clones disagree, at least one of them differs from the teacher; so a
generator that makes them disagree shows what they have to learn, and no
gradient of the teacher is needed (DisGUIDE).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, Field, Interval
from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  GENERATOR,
  PAID_ROUNDS,
  weights_of,
)
from jaxkd.models.generators.registry import Generator
from jaxkd.runtime import parallel
from jaxkd.synthesis import pixels
from jaxkd.synthesis.first_order import GeneratorTrainer
from jaxkd.training import objectives, optimisers
from jaxkd.training.step import (
  EpochInputs,
  TrainConfig,
  TrainState,
  init_state,
  train_step,
)
from jaxkd.types import (
  Array,
  Classifier,
  LossContext,
  LossTerms,
  Networks,
  Objective,
  Samples,
  Variables,
)

TERMS = ("disagreement", "diversity")  # of a generator
FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  *GENERATOR,
  Field(
    "generator_steps",
    int,
    ...,
    "n_G, updates of a generator in a round.",
    COUNT,
  ),
  Field(
    "replay_steps",
    int,
    ...,
    "n_R, updates of the clones by replay in a round.",
    NOT_NEGATIVE,
  ),
  Field("clones", int, 2, "E, students that are trained.", Interval(2)),
  weights_of(TERMS),
  OPTIMIZER,
  OPTIMIZER._replace(
    name="clone_optimizer", meaning="How each of the clones is trained."
  ),
  CAPACITY,
)


def disagreement_terms(logits: Array) -> LossTerms:
  """Computes the terms that a generator lowers, DisGUIDE's.

  With the clones' probabilities p_e, their standard deviation std (E - 1 in
  the denominator, gradient 0 where it is 0) and their mean q over all images

    disagreement   - mean std_e p_e,
    diversity      sum_k q_k ln q_k.

  Args:
    logits: of the clones, `[E, N, K]`.
  """
  num_clones, _, num_classes = logits.shape
  probs = jax.nn.softmax(logits)
  distance = optax.safe_norm(probs - probs.mean(0), 0.0, axis=0)
  return {
    "disagreement": -distance.mean() / math.sqrt(num_clones - 1),
    # The kernel is the mean over the classes.
    "diversity": num_classes
    * losses.class_balance_loss(logits.reshape(-1, num_classes)),
  }


def distance(logits: Array, targets: Array) -> Array:
  """Computes the cross entropy with labels, or the mean of |s - l|, `[B]`.

  l are the teacher's log-probabilities minus their mean over the classes.
  """
  if jnp.issubdtype(targets.dtype, jnp.integer):
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets)
  recovered = targets - targets.mean(axis=-1, keepdims=True)
  return losses.disagreement_loss(logits, recovered, kind="l1")


student_loss = objectives.from_distance(distance)


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

  def networks(self, nets: Networks, state: TrainState) -> list[Classifier]:
    """Returns all of them."""
    return [
      nets.student.replace(variables=self.variables(state, index))
      for index in range(self.members)
    ]

  def logits(self, nets: Networks, state: TrainState, images: Array) -> Array:
    """Returns their logits `[E, N, K]`, in evaluation mode."""
    return jnp.stack(
      [clone(images).logits for clone in self.networks(nets, state)]
    )

  def trainer(
    self,
    state: TrainState,
    generator: Generator,
    tx: optax.GradientTransformation,
    weights: dict[str, float],
    batch_size: int,
  ) -> GeneratorTrainer:
    """Returns a trainer of a generator against the clones as they are.

    Args:
      state: of the clones.
      generator: to train.
      tx: its optimiser.
      weights: of `TERMS`; the trainer's updates return the terms as well.
      batch_size: images in an update.
    """

    def loss(nets: Networks, images: Array, key: Array):
      del key
      terms = disagreement_terms(self.logits(nets, state, images))
      return pixels.weighted_sum(terms, weights), terms

    return GeneratorTrainer(generator, tx, loss, batch_size)

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
    state, losses = parallel.vmap_networks(step)(state, keys)
    return state, losses.mean()

  def learn(
    self, nets: Networks, state: TrainState, samples: Samples, key: Array
  ) -> tuple[TrainState, Array]:
    """Makes an `update` for a loss that weighs no classes."""
    context = LossContext(state.step[0], jnp.zeros(0))
    return self.update(nets, state, samples, key, context)


def create(
  members: int, optimizer: dict[str, Any], updates: int, hyper: dict[str, float]
) -> Clones:
  """Returns clones that lower `student_loss`.

  Args:
    members: E.
    optimizer: of each, see `optimisers.generator_optimiser`.
    updates: of each, in all rounds.
    hyper: numbers of the loss.
  """
  tx = optimisers.generator_optimiser(optimizer, updates)
  return Clones(members, tx, student_loss, hyper)
