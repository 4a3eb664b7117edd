"""DFME: data-free model extraction.

Truong, Maini, Walls and Papernot, "Data-Free Model Extraction", CVPR 2021. A
generator G is trained to make images on which student and teacher disagree, and
the student to agree with the teacher on what G makes. In one round

  generator  raises  mean |s - l|  by finite differences, n_G times,
  student    lowers  mean |s - l|  on fresh images, n_S times,

with the student's logits s and the teacher's logits l. These are recovered from
the log-probabilities that a black box returns, as the difference to their mean
over the classes. A round costs B (n_G (M + 1) + n_S) queries: 1,792 with the
published numbers.

For a teacher that returns labels only, l are the logits of one-hot answers
smoothed by `label_floor` (the paper has no such case; ln 0 needs a floor).
Their finite differences are zero except at a decision boundary, so that most of
the estimated gradient is that of the student's logits.

The released code divides its estimate by the K classes once more, which does
not matter to Adam, and shows the teacher images in [-1, 1]; ours are pixels.
"""

import functools
from typing import Any

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field
from jaxkd.config.synthesis_fields import LABEL_FLOOR, STUDENT_STEPS
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import label_smoothing, starts, zeroth_order
from jaxkd.synthesis.zeroth_order import ZerothOrderTrainer
from jaxkd.training import objectives, optimisers
from jaxkd.types import Array, DataSpec, Method, MethodInfo

INFO = MethodInfo(
  access="label",
  source="a generator",
  critic="both, by finite differences",
  objective="L1 of logits",
  terms=("disagreement",),
  image_steps=("optimizer.learning_rate",),
)
FIELDS = (
  *zeroth_order.FIELDS,
  Field(
    "generator_steps",
    int,
    ...,
    "n_G, updates of the generator in a round.",
    COUNT,
  ),
  STUDENT_STEPS,
  starts.SHARE,
)
HYPER = (LABEL_FLOOR,)


def distance(logits: Array, targets: Array, label_floor: float) -> Array:
  """Computes the mean over the classes of |s - l|, `[B]`."""
  answers = label_smoothing.as_logits(targets, logits.shape[-1], label_floor)
  recovered = answers - answers.mean(axis=-1, keepdims=True)
  return losses.disagreement_loss(logits, recovered, kind="l1")


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
  generator_steps: int,
  student_steps: int,
  procedural_share: float,
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
  cost = batch_size * (generator_steps * (num_directions + 1) + student_steps)
  rounds = checks.rounds_within(budget, cost, num_rounds)
  trainer = ZerothOrderTrainer(
    create_generator("dfme", spec, latents=latents, width=width),
    optimisers.generator_optimiser(optimizer, rounds * generator_steps),
    functools.partial(distance, **hyper),
    batch_size,
    num_directions,
    radius,
  )
  return zeroth_order.zeroth_order_method(
    trainer,
    (
      trainer.generator_phase(generator_steps),
      starts.with_share(
        trainer.student_phase(student_steps), procedural_share, spec
      ),
    ),
    rounds=rounds,
    capacity=min(capacity, rounds * student_steps * batch_size),
    objective=student_loss,
    hyper=hyper,
  )
