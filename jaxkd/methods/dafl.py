"""DAFL: data-free learning of student networks.

Chen et al., ICCV 2019. The teacher is a fixed discriminator: a generator G is
trained to make images to which the teacher reacts as to data. With t and f the
teacher's logits and last features of a batch G(z), G lowers the weighted sum of

  one_hot      mean CE(t, argmax t)    each image is classified with confidence,
  balance      sum_k q_k log q_k       all classes are equally frequent,
  activation   - mean |f|              the last features are large,

q = mean softmax(t). The student lowers KL(teacher || student) on such images.

Two released codes differ in more than their numbers:

- `mode="original"` (the authors'): the student learns from the very batch that
  G is updated with, as it was before the update; `balance="log10_sum"`.
- `mode="datafree"` (DataFree): each update of G is followed by `student_steps`
  updates of the student on fresh images, for which G normalises by its
  running statistics; `balance="ln_sum"`.

Labels are the teacher's classes, for objectives that need labels.
"""

import math

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config.fields import Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  STEP_SIZE,
  STUDENT_STEPS,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data.labels import hard_labels
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import batch_statistics, first_order, pixels
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  DataSpec,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Outputs,
)


def class_rarity(logits: Array, log_probs: Array) -> Array:
  """Computes how rare the classes of each answer are in the batch, `[B]`.

  With q the mean answer of the batch it is the mean of -ln q over the classes
  of an answer; the mean over the batch is the entropy of q.
  """
  del logits
  answers = jnp.exp(log_probs)
  return -(answers * jnp.log(answers.mean(0))).sum(-1)


INFO = MethodInfo(
  access="white_box",
  source="a generator",
  critic="teacher",
  objective="KD",
  terms=("one_hot", "balance", "activation"),
  image_steps=("step_size",),
  adaptations=("frozen", "surrogate", "zeroth"),
  label_objective=class_rarity,
)

# mode: first-moment decay of the generator's Adam
MODES = {"original": 0.9, "datafree": 0.5}
# nats per unit of the published loss: name -> units per nat
BALANCES = {"log10_sum": 1 / math.log(10), "ln_sum": 1.0}

FIELDS = (
  *first_order.FIELDS,
  Field("mode", str, ..., "Which of the two released codes it follows.", MODES),
  STUDENT_STEPS,
  STEP_SIZE,
  weights_of(INFO.terms),
  Field(
    "balance",
    str,
    ...,
    "Base of the logarithm in the term balance, 10 or e.",
    BALANCES,
  ),
)
HYPER = (TEMPERATURE, ALPHA)


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
  mode: str,
  student_steps: int,
  step_size: float,
  weights: dict[str, float],
  balance: str,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: of the student's objective; of `kd_loss`, which is DAFL's own,
      `temperature` and `alpha`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch does not fit into the store; at the first round, if
      the term `activation` has a weight and the teacher has no features.
  """
  unit = spec.num_classes * BALANCES[balance]

  def terms_of(outputs: Outputs) -> LossTerms:
    logits = outputs.logits
    error = optax.softmax_cross_entropy_with_integer_labels(
      logits, hard_labels(logits)
    )
    terms = {
      "one_hot": error.mean(),
      "balance": unit * losses.class_balance_loss(logits),
    }
    if weights["activation"]:
      features = outputs.features[-1].reshape(batch_size, -1)
      terms["activation"] = losses.activation_loss(features)
    return terms

  def loss(nets: Networks, images: Array, key: Array):
    """Returns what the generator lowers, and the answered images."""
    del key
    outputs = nets.teacher(images)
    terms = terms_of(outputs)
    samples = first_order.with_targets(images, outputs)
    return pixels.weighted_sum(terms, weights), (samples, terms)

  trainer = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optax.adam(step_size, b1=MODES[mode]),
    loss,
    batch_size,
  )

  def init(key: Array, nets: Networks) -> FirstOrderState:
    if weights["activation"]:
      batch_statistics.require_features(
        nets.teacher, spec, "set synthesis.weights.activation=0"
      )
    return trainer.init(key, nets)

  def ask_same(state: FirstOrderState, nets: Networks, key: Array):
    latent_key, update_key = jax.random.split(key)
    latents = trainer.latents(latent_key)
    state, (samples, terms) = trainer.update(state, nets, latents, update_key)
    return state, samples, terms

  def ask_fresh(state: FirstOrderState, nets: Networks, key: Array):
    state, images = trainer.sample_fresh(
      state, nets, key, every=student_steps, train=False
    )
    outputs = nets.teacher(images)
    samples = first_order.with_targets(images, outputs)
    return state, samples, terms_of(outputs)

  original = mode == "original"
  return first_order.first_order_method(
    trainer,
    ask_same if original else ask_fresh,
    num_rounds=num_rounds,
    steps_per_round=steps_per_round,
    capacity=capacity,
    objective=objectives.kd,
    hyper=hyper,
    student_steps=student_steps if original else 1,
    init=init,
  )
