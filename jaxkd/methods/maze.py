"""MAZE: model stealing with zeroth-order gradients and replay.

Kariyappa, Prakash and Qureshi, "MAZE: Data-Free Model Stealing Attack Using
Zeroth-Order Gradient Estimation", CVPR 2021. A generator is trained to make
images on which student and teacher disagree, and the student to agree with the
teacher. In one round

  generator  raises  KL(teacher || student)  by finite differences, once,
  student    lowers  it on the generator's batch and n_S - 1 fresh ones,
  replay     lowers  it on n_R batches of stored samples, which cost nothing.

A round costs B (M + 1 + n_S - 1) queries: 1,920 with the released numbers.

In the released code the student is in training mode while the generator's
gradient is estimated, so that the loss of an image depends on the other points
through the batch statistics; here it is in evaluation mode, as in DFME. The
code stores the last batch of a round without bound; here all fresh ones are
stored, and replace the oldest. Labels are smoothed as in `dfme`.
"""

import functools
from typing import Any

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field, Interval
from jaxkd.config.synthesis_fields import LABEL_FLOOR
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing, starts, zeroth_order
from jaxkd.synthesis.zeroth_order import ZerothOrderState, ZerothOrderTrainer
from jaxkd.training import objectives, optimisers, sample_store as stores
from jaxkd.types import Array, DataSpec, Method, MethodInfo, Networks, Phase

INFO = MethodInfo(
  access="label",
  source="a generator",
  critic="both, by finite differences",
  objective="KL",
  terms=("disagreement",),
  image_steps=("optimizer.learning_rate",),
)
FIELDS = (
  *zeroth_order.FIELDS,
  Field(
    "student_steps",
    int,
    ...,
    "n_S, updates of the student in a round: one on the generator's batch, the "
    "others on fresh ones.",
    Interval(2),
  ),
  Field(
    "replay_steps", int, ..., "n_R, updates of the student by replay.", COUNT
  ),
  starts.SHARE,
)
HYPER = (LABEL_FLOOR,)


def distance(logits: Array, targets: Array, label_floor: float) -> Array:
  """Computes KL(teacher || student), `[B]`."""
  answers = label_smoothing.as_logits(targets, logits.shape[-1], label_floor)
  return losses.disagreement_loss(logits, answers, kind="kl")


student_loss = objectives.from_distance(distance)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  batch_size: int,
  latents: int,
  width: int,
  num_directions: int,
  radius: float,
  optimizer: dict[str, Any],
  capacity: int,
  student_steps: int,
  procedural_share: float,
  replay_steps: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: `label_floor`.
    budget: images that the teacher may be asked for.
    optimizer: of the generator, see `optimisers.generator_optimiser`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch does not fit into the store, or if the budget does
      not pay for one round.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  fresh_steps = student_steps - 1
  cost = batch_size * (num_directions + 1 + fresh_steps)
  rounds = checks.rounds_within(budget, cost, num_rounds)
  trainer = ZerothOrderTrainer(
    create_generator("maze", spec, latents=latents, width=width),
    optimisers.generator_optimiser(optimizer, rounds),
    functools.partial(distance, **hyper),
    batch_size,
    num_directions,
    radius,
  )

  def replay(state: ZerothOrderState, nets: Networks, key: Array):
    return state, stores.sample(nets.store, key, batch_size), {}

  return zeroth_order.zeroth_order_method(
    trainer,
    (
      trainer.generator_phase(student_steps=1),
      starts.with_share(
        trainer.student_phase(fresh_steps), procedural_share, spec
      ),
      Phase(
        replay,
        repeats=replay_steps,
        student_steps=1,
        store=False,
        queries=False,
      ),
    ),
    rounds=rounds,
    capacity=min(capacity, rounds * fresh_steps * batch_size),
    objective=student_loss,
    hyper=hyper,
  )
