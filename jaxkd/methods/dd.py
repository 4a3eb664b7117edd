"""DD: data-free adversarial distillation, often called DFAD.

Fang, Song, Shen, Wang, Chen and Song, "Data-Free Adversarial Distillation",
2019. A generator G is trained to make images on which student and teacher
disagree, and the student to agree with the teacher. With s and t their logits,

  student    lowers  mean |s - t|   on fresh images, n_S times,
  generator  raises  mean |s - t|   through both networks, once.

CAKE's comparison has a row "DD" and does not say what it is. We take it for
this method, because the row claims to need neither data nor anything of the
teacher's inside and 93.3 on CIFAR-10 from ResNet-34 to ResNet-18, which is what
this paper reports (from a teacher of 95.5; the row has 95.4). Dream
Distillation, which has the same initials, starts from statistics of real
activations, and reports 88.5 for another pair of networks.

DFME estimates the gradient of the same loss, and ZSKT has another distance. The
student is in training mode while G is updated: it uses the statistics of the
batch and does not keep them, where the authors' code does. There the student is
updated first, here G.
"""

from typing import Any

from jaxkd import losses
from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.synthesis_fields import STUDENT_STEPS
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import first_order
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.training import objectives, optimisers
from jaxkd.types import Array, DataSpec, Method, MethodInfo, Networks


def distance(logits: Array, targets: Array) -> Array:
  """Computes the mean over the classes of |s - t|, `[B]`."""
  return losses.disagreement_loss(logits, targets, kind="l1")


def recovered_distance(logits: Array, log_probs: Array) -> Array:
  """Computes the distance `[B]` to log-probabilities, as logits of mean 0."""
  return distance(logits, log_probs - log_probs.mean(-1, keepdims=True))


student_loss = objectives.from_distance(distance)

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
FIELDS = (*first_order.FIELDS, STUDENT_STEPS, OPTIMIZER)
HYPER = ()


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_rounds: int,
  steps_per_round: int,
  batch_size: int,
  generator: str,
  latents: int,
  width: int,
  capacity: int,
  student_steps: int,
  optimizer: dict[str, Any],
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: empty.
    optimizer: of the generator, see `optimisers.generator_optimiser`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch does not fit into the store.
  """
  updates = -(-num_rounds * steps_per_round // student_steps)
  trainer = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optimisers.generator_optimiser(optimizer, updates),
    first_order.disagreement(distance, train=True),
    batch_size,
  )

  def ask(state: FirstOrderState, nets: Networks, key: Array):
    state, images = trainer.sample_fresh(
      state, nets, key, every=student_steps, train=True
    )
    outputs = nets.teacher(images)
    samples = first_order.with_targets(images, outputs)
    # The distance is one of logits, which log-probabilities do not determine.
    return state, samples._replace(targets=outputs.logits), {}

  return first_order.first_order_method(
    trainer,
    ask,
    num_rounds=num_rounds,
    steps_per_round=steps_per_round,
    capacity=capacity,
    objective=student_loss,
    hyper=hyper,
  )
