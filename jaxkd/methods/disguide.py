"""DisGUIDE: two clones whose disagreement trains the generator.

Rosenthal, Enouen, Pham and Tan, "DisGUIDE: Disagreement-Guided Data-Free Model
Extraction", AAAI 2023. Nothing is asked to improve the images: where clones of
the teacher disagree one of them is wrong, and their gradient is known. In one
round, with the clones' probabilities p_e of a batch G(z),

  generator  lowers  - mean std_e p_e + lambda sum_k q_k ln q_k,  n_G times,
  clones     lower   mean |s - l|, or the cross entropy of labels, on one batch
                     of fresh images, and on n_R stored ones (replay),

std over the clones with E - 1 in the denominator, q the mean of all p_e, l the
log-probabilities minus their mean. A round costs B queries. G makes the fresh
images with its running statistics; the clones are in evaluation mode for it.

Read: abstract and released code; the paper's tables could not be read, so the
numbers of the configs are those of its scripts. Its result is the vote of both
clones, ours is the first clone, or with `student.epochs` a new student of all
samples. It makes every eighth image grey and replays without replacement; here
none is, and with. The gradient of a standard deviation of 0 is taken as 0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.config import checks
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import clones as engine
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.synthesis.generator import GeneratorState
from jaxkd.training import optimisers, sample_store as stores
from jaxkd.training.step import TrainState
from jaxkd.types import (
  Array,
  DataSpec,
  Method,
  MethodInfo,
  Networks,
  Phase,
  Samples,
)

INFO = MethodInfo(
  access="label",
  source="a generator",
  critic="student, two of them",
  objective="cross entropy on labels, L1 of logits",
  terms=engine.TERMS,
  image_steps=("optimizer.learning_rate",),
)

FIELDS = engine.FIELDS
HYPER = ()


class DisguideState(NamedTuple):
  """The state of the method.

  Attributes:
    generator: in training.
    clones: stacked, `[E, ...]`.
  """

  generator: GeneratorState
  clones: TrainState


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  batch_size: int,
  generator: str,
  latents: int,
  width: int,
  generator_steps: int,
  replay_steps: int,
  clones: int,
  weights: dict[str, float],
  optimizer: dict[str, Any],
  clone_optimizer: dict[str, Any],
  capacity: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: empty, the student's loss has no numbers.
    budget: images that the teacher may be asked for.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch does not fit into the store, or if the budget does
      not pay for one round.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  rounds = checks.rounds_within(budget, batch_size, num_rounds)
  updates = rounds * (1 + replay_steps)
  group = engine.create(clones, clone_optimizer, updates, hyper)
  network = create_generator(generator, spec, latents=latents, width=width)
  tx = optimisers.generator_optimiser(optimizer, rounds * generator_steps)

  def trainer(state: TrainState) -> GeneratorTrainer:
    return group.trainer(state, network, tx, weights, batch_size)

  def init(key: Array, nets: Networks) -> DisguideState:
    generator_key, clones_key = jax.random.split(key)
    students = group.init(nets, clones_key)
    fresh = trainer(students).init(generator_key, nets)
    return DisguideState(fresh.generator, students)

  def ask(state: DisguideState, nets: Networks, key: Array):
    """Updates the generator, then makes fresh images."""
    fit_key, fresh_key = jax.random.split(key)
    fitted = trainer(state.clones)
    start = FirstOrderState(state.generator, jnp.int32(0))
    after, terms = fitted.fit(start, nets, fit_key, generator_steps)
    images, _ = fitted.images(
      after.generator.variables, fitted.latents(fresh_key), train=False
    )
    state = state._replace(generator=after.generator)
    return state, stores.unlabelled(images), terms

  def learn(state: DisguideState, nets: Networks, samples: Samples, key: Array):
    """Updates the clones."""
    updated, loss = group.learn(nets, state.clones, samples, key)
    return state._replace(clones=updated), samples, {"clones": loss}

  def replay(state: DisguideState, nets: Networks, key: Array):
    return state, stores.sample(nets.store, key, batch_size), {}

  replayed = Phase(
    replay, learn, repeats=replay_steps, store=False, queries=False
  )
  return Method(
    init=init,
    phases=(Phase(ask, learn), *((replayed,) if replay_steps else ())),
    rounds=rounds,
    capacity=min(capacity, rounds * batch_size),
    objective=engine.student_loss,
    hyper=hyper,
    required_access="label",
    round_student=lambda state: group.variables(state.clones),
  )
