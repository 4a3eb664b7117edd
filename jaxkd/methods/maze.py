"""MAZE: model stealing with zeroth-order gradients and replay.

Kariyappa, Prakash and Qureshi, "MAZE: Data-Free Model Stealing Attack Using
Zeroth-Order Gradient Estimation", CVPR 2021. A generator seeks images on which
student and teacher disagree, the student learns to agree on them. In one round

  generator  raises  KL(teacher || student)  by finite differences, once,
  student    lowers  it on the generator's batch and n_S - 1 fresh ones,
  replay     lowers  it on n_R batches of stored samples, which cost nothing.

A round costs B (M + 1 + n_S - 1) queries: 1,920 with the released numbers.

In the released code the student is in train mode while the generator's slope
is measured, which lets the M + 1 points of an image, and its neighbours, into
each other's batch statistics; here it is in evaluation mode, as in DFME. The
code stores the last batch of a round without bound; here all fresh ones are
stored, and the oldest make room. Labels are smoothed as in `dfme`.
"""

from types import SimpleNamespace
from typing import Any

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field, Interval
from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  FINITE_DIFFERENCES,
  LABEL_FLOOR,
  LATENTS,
  PAID_ROUNDS,
  WIDTH,
)
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing
from jaxkd.synthesis.zeroth_order import ZerothOrderTrainer
from jaxkd.training import optimisers, sample_store as stores
from jaxkd.types import (
  Array,
  DataSpec,
  LossContext,
  Method,
  MethodInfo,
  Networks,
  Outputs,
  Phase,
  Samples,
)

INFO = MethodInfo(
  access="label",
  source="a generator",
  critic="both, by finite differences",
  objective="KL",
  terms=("disagreement",),
  image_steps=("optimizer.learning_rate",),
)

FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  LATENTS,
  WIDTH,
  *FINITE_DIFFERENCES,
  Field(
    "student_steps",
    int,
    ...,
    "n_S, updates of the student in a round: one on the generator's batch, the "
    "others on fresh ones.",
    Interval(2),
  ),
  Field(
    "replay_steps",
    int,
    ...,
    "n_R, updates of the student on stored samples.",
    COUNT,
  ),
  OPTIMIZER,
  CAPACITY,
)
HYPER = (LABEL_FLOOR,)


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
  student_steps: int,
  replay_steps: int,
  optimizer: dict[str, Any],
  capacity: int,
) -> Method:
  """The method for inputs like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: `label_floor`, see `dfme.build`.
    budget: images that the teacher may be asked for.
    optimizer: of the generator, see `dfme.build`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  floor = hyper["label_floor"]
  fresh_steps = student_steps - 1
  cost = batch_size * (num_directions + 1 + fresh_steps)
  rounds = checks.rounds_within(budget, cost, num_rounds)
  seeker = ZerothOrderTrainer(
    create_generator("maze", spec, latents=latents, width=width),
    optimisers.optimiser(SimpleNamespace(**optimizer), rounds, 1),
    lambda logits, targets: distance(logits, targets, floor),
    batch_size,
    num_directions,
    radius,
  )

  def ask_store(state, nets: Networks, key: Array):
    return state, stores.sample(nets.store, key, batch_size), {}

  return Method(
    init=seeker.init,
    phases=(
      Phase(
        seeker.ask_points, seeker.tell_points, student_steps=1, store=False
      ),
      Phase(seeker.ask_images, repeats=fresh_steps, student_steps=1),
      Phase(
        ask_store,
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
    required_access="label",
    float_pixels=True,
  )


def distance(logits: Array, targets: Array, floor: float) -> Array:
  """KL(teacher || student), `[B]`."""
  answers = label_smoothing.as_logits(targets, logits.shape[-1], floor)
  return losses.disagreement_loss(logits, answers, kind="kl")


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
) -> Array:
  """The student's loss `[B]`: what the generator raises."""
  del context
  return distance(outputs.logits, samples.targets, hyper["label_floor"])
