"""DAFL: data-free learning of student networks.

Chen et al., ICCV 2019. The teacher is the discriminator, and stays as it is.
A generator G seeks images that it takes for data: with t and f the teacher's
logits and last features of a batch G(z), G lowers the weighted sum of

  one_hot      mean CE(t, argmax t)    the teacher is sure of each image,
  balance      sum_k q_k log q_k       and of all classes equally often,
  activation   - mean |f|              and its last features are excited,

q = mean softmax(t). The student lowers KL(teacher || student) on such images.

Two released codes differ in more than their numbers:

- `mode="original"` (the authors'): the student learns from the very batch that
  G is updated with, as it was before the update; `balance="log10_sum"`.
- `mode="datafree"` (DataFree): after each update of G the student makes
  `student_steps` of its own on fresh images, for which G normalises by its
  running statistics; `balance="ln_sum"`.

Labels are the teacher's classes, for objectives that want some.
"""

import math

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  BATCH_SIZE,
  CAPACITY,
  GENERATOR,
  NUM_ROUNDS,
  STEP_SIZE,
  STUDENT_STEPS,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data.labels import hard_labels
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import first_order, pixels
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Outputs,
  Phase,
)


def class_rarity(logits: Array, log_probs: Array) -> Array:
  """How rare the classes of each answer are in the batch, `[B]`.

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
# what a nat is, in the sum over the classes
BALANCES = {"log10_sum": 1 / math.log(10), "ln_sum": 1.0}

FIELDS = (
  NUM_ROUNDS,
  Field(
    "steps_per_round",
    int,
    ...,
    "Batches in a round, in datafree those that the student learns from.",
    COUNT,
  ),
  BATCH_SIZE,
  Field("mode", str, ..., "Which of the two released codes it follows.", MODES),
  STUDENT_STEPS,
  *GENERATOR,
  STEP_SIZE,
  weights_of(INFO.terms),
  Field(
    "balance", str, ..., "Unit of the term balance: bans or nats.", BALANCES
  ),
  CAPACITY,
)
HYPER = (TEMPERATURE, ALPHA)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_rounds: int,
  steps_per_round: int,
  batch_size: int,
  mode: str,
  student_steps: int,
  generator: str,
  latents: int,
  width: int,
  step_size: float,
  weights: dict[str, float],
  balance: str,
  capacity: int,
) -> Method:
  """The method for inputs like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: of the student's objective; of `kd_loss`, which is DAFL's own,
      `temperature` and `alpha`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be; at the first round, if a
      teacher without features is to be excited.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
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
    """What the generator lowers; besides, the answered images."""
    del key
    outputs = nets.teacher(images)
    terms = terms_of(outputs)
    made = first_order.with_targets(images, outputs), terms
    return pixels.weighted_sum(terms, weights), made

  seeker = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optax.adam(step_size, b1=MODES[mode]),
    loss,
    batch_size,
  )

  def init(key: Array, nets: Networks) -> FirstOrderState:
    if weights["activation"]:
      check_features(nets.teacher, spec)
    return seeker.init(key, nets)

  def ask_once(state: FirstOrderState, nets: Networks, key: Array):
    latent_key, update_key = jax.random.split(key)
    latents = seeker.latents(latent_key)
    state, made = seeker.update(state, nets, latents, update_key)
    return state, *made

  def ask_afresh(state: FirstOrderState, nets: Networks, key: Array):
    state, images = seeker.sample_fresh(
      state, nets, key, every=student_steps, train=False
    )
    outputs = nets.teacher(images)
    samples = first_order.with_targets(images, outputs)
    return state, samples, terms_of(outputs)

  phase = Phase(
    ask_once if mode == "original" else ask_afresh,
    repeats=steps_per_round,
    student_steps=student_steps if mode == "original" else 1,
    queries=False,  # the answers are a by-product of the generator's loss
  )
  return Method(
    init=init,
    phases=(phase,),
    rounds=num_rounds,
    capacity=min(capacity, num_rounds * steps_per_round * batch_size),
    objective=objectives.kd,
    hyper=hyper,
    required_access="white_box",
  )


def check_features(teacher: Classifier, spec: DataSpec) -> None:
  """Refuses a teacher that shows nothing but its logits.

  Raises:
    JaxkdError: naming it, and how to do without.
  """
  images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
  if not jax.eval_shape(teacher, images).features:
    raise JaxkdError(
      f"dafl excites the last features of its teacher, and {teacher.name!r} "
      "gives none; let it return jaxkd.types.Outputs with features, or set "
      "synthesis.weights.activation=0."
    )
