"""DFME: data-free model extraction.

Truong, Maini, Walls and Papernot, "Data-Free Model Extraction", CVPR 2021. A
generator G seeks images on which student and teacher disagree, the student
learns to agree on what G makes. In one round

  generator  raises  mean |s - l|  by finite differences, n_G times,
  student    lowers  mean |s - l|  on fresh images, n_S times,

with the student's logits s and the teacher's logits l, recovered from what a
black box gives, log-probabilities, as these minus their mean over the classes.
A round costs B (n_G (M + 1) + n_S) queries: 1,792 with the published numbers.

From a teacher that gives labels alone l are the logits of one-hot answers
smoothed by `label_floor` (the paper has no such case; ln 0 needs a floor).
Their finite differences are zero but at a decision boundary, so that what is
left of the generator's slope is mostly the student's.

The released code divides its estimate by the K classes once more, which Adam
does not notice, and shows the teacher images in [-1, 1]; ours are pixels.
"""

from types import SimpleNamespace
from typing import Any

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field
from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  FINITE_DIFFERENCES,
  LABEL_FLOOR,
  LATENTS,
  PAID_ROUNDS,
  STUDENT_STEPS,
  WIDTH,
)
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing
from jaxkd.synthesis.zeroth_order import ZerothOrderTrainer
from jaxkd.training import optimisers
from jaxkd.types import (
  Array,
  DataSpec,
  LossContext,
  Method,
  MethodInfo,
  Outputs,
  Phase,
  Samples,
)

INFO = MethodInfo(
  access="label",
  source="a generator",
  critic="both, by finite differences",
  objective="L1 of logits",
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
    "generator_steps",
    int,
    ...,
    "n_G, updates of the generator in a round.",
    COUNT,
  ),
  STUDENT_STEPS,
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
  generator_steps: int,
  student_steps: int,
  optimizer: dict[str, Any],
  capacity: int,
) -> Method:
  """The method for inputs like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: `label_floor`, what a smoothed one-hot answer spreads over all
      classes; only labels are smoothed.
    budget: images that the teacher may be asked for.
    optimizer: of the generator; all its updates are one epoch, so that
      `milestones` are fractions of them.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  floor = hyper["label_floor"]
  cost = batch_size * (generator_steps * (num_directions + 1) + student_steps)
  rounds = checks.rounds_within(budget, cost, num_rounds)
  updates = rounds * generator_steps
  seeker = ZerothOrderTrainer(
    create_generator("dfme", spec, latents=latents, width=width),
    optimisers.optimiser(SimpleNamespace(**optimizer), updates, 1),
    lambda logits, targets: distance(logits, targets, floor),
    batch_size,
    num_directions,
    radius,
  )
  return Method(
    init=seeker.init,
    phases=(
      Phase(
        seeker.ask_points,
        seeker.tell_points,
        repeats=generator_steps,
        store=False,
      ),
      Phase(seeker.ask_images, repeats=student_steps, student_steps=1),
    ),
    rounds=rounds,
    capacity=min(capacity, rounds * student_steps * batch_size),
    objective=student_loss,
    hyper=hyper,
    required_access="label",
    float_pixels=True,
  )


def distance(logits: Array, targets: Array, floor: float) -> Array:
  """Mean over the classes of |student's - recovered logits|, `[B]`."""
  answers = label_smoothing.as_logits(targets, logits.shape[-1], floor)
  recovered = answers - answers.mean(axis=-1, keepdims=True)
  return losses.disagreement_loss(logits, recovered, kind="l1")


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
) -> Array:
  """The student's loss `[B]`: what the generator raises."""
  del context
  return distance(outputs.logits, samples.targets, hyper["label_floor"])
