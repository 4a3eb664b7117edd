"""DD: data-free adversarial distillation, often called DFAD.

Fang, Song, Shen, Wang, Chen and Song, "Data-Free Adversarial Distillation",
2019. A generator G seeks images on which student and teacher disagree, the
student learns to agree: with s and t their logits,

  student    lowers  mean |s - t|   on fresh images, n_S times,
  generator  raises  mean |s - t|   through both networks, once.

CAKE's comparison has a row "DD" and does not say what it is. We read it as this
method: the row claims to need neither data nor anything of the teacher's inside
and 93.3 on CIFAR-10 from ResNet-34 to ResNet-18, which is what this paper
reports (from a teacher of 95.5; the row has 95.4). Dream Distillation, which
has the initials, starts from statistics of real activations, and reports 88.5
for another pair of networks.

DFME is this game with a guessed gradient, ZSKT has another distance. The
student is in training mode while G learns, with the statistics of the batch,
which it does not keep, where the authors' code lets it. There the student moves
first, here G.
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
  GENERATOR,
  NUM_ROUNDS,
  STUDENT_STEPS,
)
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import first_order
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.training import optimisers
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


def recovered_distance(logits: Array, log_probs: Array) -> Array:
  """The distance `[B]` where the teacher's logits are known up to a constant,
  which is taken to give them the mean 0.
  """
  return distance(logits, log_probs - log_probs.mean(-1, keepdims=True))


INFO = MethodInfo(
  access="white_box",
  source="a generator",
  critic="both",
  objective="L1 of logits",
  terms=("disagreement",),
  image_steps=("optimizer.learning_rate",),
  # Not surrogate: the student does not disagree with itself.
  adaptations=("frozen", "zeroth"),
  label_objective=recovered_distance,
)

FIELDS = (
  NUM_ROUNDS,
  Field(
    "steps_per_round", int, ..., "Updates of the student in a round.", COUNT
  ),
  BATCH_SIZE,
  STUDENT_STEPS,
  *GENERATOR,
  OPTIMIZER,
  CAPACITY,
)
HYPER = ()


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_rounds: int,
  steps_per_round: int,
  batch_size: int,
  student_steps: int,
  generator: str,
  latents: int,
  width: int,
  optimizer: dict[str, Any],
  capacity: int,
) -> Method:
  """The method for images like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: nothing.
    optimizer: of the generator; all its updates are one epoch, so that
      `milestones` are fractions of them.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  batches = num_rounds * steps_per_round
  updates = -(-batches // student_steps)
  seeker = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optimisers.optimiser(SimpleNamespace(**optimizer), updates, 1),
    first_order.disagreement(distance, train=True),
    batch_size,
  )

  def ask(state: FirstOrderState, nets: Networks, key: Array):
    state, images = seeker.sample_fresh(
      state, nets, key, every=student_steps, train=True
    )
    outputs = nets.teacher(images)
    # Log-probabilities would have lost what the logits have in common.
    samples = first_order.with_targets(images, outputs)
    return state, samples._replace(targets=outputs.logits), {}

  phase = Phase(ask, repeats=steps_per_round, student_steps=1, queries=False)
  return Method(
    init=seeker.init,
    phases=(phase,),
    rounds=num_rounds,
    capacity=min(capacity, batches * batch_size),
    objective=student_loss,
    hyper=hyper,
    required_access="white_box",
  )


def distance(logits: Array, targets: Array) -> Array:
  """Mean over the classes of |student's - teacher's logits|, `[B]`."""
  return losses.disagreement_loss(logits, targets, kind="l1")


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
) -> Array:
  """What the generator raises, `[B]`."""
  del hyper, context
  return distance(outputs.logits, samples.targets)
