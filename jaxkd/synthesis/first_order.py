"""The engine that fits a generator to a white box, by the gradient through it.

Generator and student are updated in turn. Methods differ in the images that the
student is trained on: those of the latents that the generator was updated with,
or others.
"""

from collections.abc import Callable
from typing import NamedTuple

from chex import ArrayTree
import jax
import jax.numpy as jnp
import optax

from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  GENERATOR,
  NUM_ROUNDS,
)
from jaxkd.data.labels import hard_labels
from jaxkd.models.generators.registry import Generator
from jaxkd.synthesis import generator as engine
from jaxkd.synthesis.generator import GeneratorState
from jaxkd.types import (
  Array,
  Ask,
  LossTerms,
  Method,
  Networks,
  Objective,
  Outputs,
  PerSampleObjective,
  Phase,
  Samples,
  Variables,
)

FIELDS = (
  NUM_ROUNDS,
  Field("steps_per_round", int, ..., "Batches in a round.", COUNT),
  BATCH_SIZE,
  *GENERATOR,
  CAPACITY,
)

# (nets, images [B, H, W, C], key) -> (what is minimised, more)
ImageLoss = Callable[[Networks, Array, Array], tuple[Array, ArrayTree]]


class FirstOrderState(NamedTuple):
  """The state of a method with a `GeneratorTrainer`.

  Attributes:
    generator: in training.
    step: number of batches that `GeneratorTrainer.sample_fresh` has made.
  """

  generator: GeneratorState
  step: Array


class GeneratorTrainer(NamedTuple):
  """Trains a generator to make images of low loss.

  Attributes:
    generator: from latents to pre-activations.
    tx: its optimiser.
    loss: of a batch of images.
    batch_size: B, images in an update.
  """

  generator: Generator
  tx: optax.GradientTransformation
  loss: ImageLoss
  batch_size: int

  def init(self, key: Array, nets: Networks) -> FirstOrderState:
    """Returns the state before the first round."""
    del nets
    state = engine.init_state(self.generator.init(key), self.tx)
    return FirstOrderState(state, jnp.zeros((), jnp.int32))

  def latents(self, key: Array) -> Array:
    """Draws the latents of a batch, `[B, Z]`."""
    return jax.random.normal(key, (self.batch_size, self.generator.latents))

  def images(
    self, variables: Variables, latents: Array, *, train: bool
  ) -> tuple[Array, Variables]:
    """Makes pixels `[B, H, W, C]`; also returns the variables that changed."""
    pre, changed = self.generator.apply(variables, latents, train=train)
    return self.generator.to_pixels(pre), changed

  def update(
    self, state: FirstOrderState, nets: Networks, latents: Array, key: Array
  ) -> tuple[FirstOrderState, ArrayTree]:
    """Makes one update of the generator.

    Returns:
      The state, and what `loss` returned besides, before the update.
    """

    def loss(variables: Variables):
      images, changed = self.images(variables, latents, train=True)
      value, more = self.loss(nets, images, key)
      return value, (changed, more)

    generator, more = engine.update(loss, state.generator, self.tx)
    return state._replace(generator=generator), more

  def fit(
    self,
    state: FirstOrderState,
    nets: Networks,
    key: Array,
    num_steps: int,
    latents: Array | None = None,
  ) -> tuple[FirstOrderState, ArrayTree]:
    """Makes `num_steps` updates in one scan, each with a key of its own.

    Args:
      state: before them.
      nets: for `loss`.
      key: of all updates.
      num_steps: at least 1.
      latents: of every update, `[B, Z]`; None draws others for each.

    Returns:
      The state, and what `loss` returned besides in the last update.
    """

    def step(state: FirstOrderState, key: Array):
      drawn = self.latents(key) if latents is None else latents
      return self.update(state, nets, drawn, key)

    state, more = jax.lax.scan(step, state, jax.random.split(key, num_steps))
    return state, jax.tree.map(lambda leaf: leaf[-1], more)

  def sample_fresh(
    self,
    state: FirstOrderState,
    nets: Networks,
    key: Array,
    *,
    every: int,
    train: bool,
  ) -> tuple[FirstOrderState, Array]:
    """Makes images of latents that the generator was not updated with.

    Args:
      state: before them.
      nets: for `loss`.
      key: of these latents, and of those that the generator is updated with.
      every: number of batches for one update of the generator, which comes
        first.
      train: whether it normalises these images by their batch, or by its
        running statistics.
    """
    latent_key, update_key, fresh_key = jax.random.split(key, 3)

    def updated(state: FirstOrderState) -> FirstOrderState:
      latents = self.latents(latent_key)
      return self.update(state, nets, latents, update_key)[0]

    state = jax.lax.cond(
      state.step % every == 0, updated, lambda state: state, state
    )
    variables, opt_state = state.generator
    images, changed = self.images(
      variables, self.latents(fresh_key), train=train
    )
    generator = GeneratorState({**variables, **changed}, opt_state)
    return FirstOrderState(generator, state.step + 1), images


def disagreement(distance: PerSampleObjective, *, train: bool) -> ImageLoss:
  """Returns a loss that is lower the more the student and the teacher disagree.

  It is the negative mean distance; the distance is returned as a term besides.

  Args:
    distance: `(student's logits [B, K], teacher's logits [B, K]) -> [B]`.
    train: whether the student normalises by the batch; the batch statistics
      that it would keep are dropped, so that it stays as it is.
  """

  def loss(
    nets: Networks, images: Array, key: Array
  ) -> tuple[Array, LossTerms]:
    student, _ = nets.student.apply(
      nets.student.variables, images, train=train, rng=key
    )
    mean = distance(student.logits, nets.teacher(images).logits).mean()
    return -mean, {"disagreement": mean}

  return loss


def with_targets(images: Array, outputs: Outputs) -> Samples:
  """Returns images with the teacher's answers, its classes as their labels."""
  logits = outputs.logits
  return Samples(images, hard_labels(logits), jax.nn.log_softmax(logits))


def first_order_method(
  trainer: GeneratorTrainer,
  ask: Ask,
  *,
  num_rounds: int,
  steps_per_round: int,
  capacity: int,
  objective: Objective,
  hyper: dict[str, float],
  student_steps: int = 1,
  init: Callable[[Array, Networks], FirstOrderState] | None = None,
) -> Method:
  """Builds a method whose generator and student are updated in turn.

  Args:
    trainer: of the generator.
    ask: makes a batch with the teacher's answers, which the generator's loss
      needs anyway, so that they cost nothing.
    num_rounds: rounds of the method.
    steps_per_round: batches in a round.
    capacity: samples that are kept, the latest ones.
    objective: of the student.
    hyper: its numbers.
    student_steps: updates of the student on each batch.
    init: in place of the trainer's.

  Raises:
    JaxkdError: if a batch does not fit into the store.
  """
  batch_size = trainer.batch_size
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  phase = Phase(
    ask, repeats=steps_per_round, student_steps=student_steps, queries=False
  )
  return Method(
    init=init or trainer.init,
    phases=(phase,),
    rounds=num_rounds,
    capacity=min(capacity, num_rounds * steps_per_round * batch_size),
    objective=objective,
    hyper=hyper,
    required_access="white_box",
  )
