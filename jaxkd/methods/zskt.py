"""ZSKT: zero-shot knowledge transfer via adversarial belief matching.

Micaelli and Storkey, NeurIPS 2019. A generator G is trained to make images on
which student and teacher disagree, and the student to agree with the teacher.
With D the mean KL(teacher || student) of a batch G(z),

  generator  raises  D                       n_G times,
  student    lowers  D + beta A              n_S times,

where A is the sum over the features of both networks of the mean squared
distance of their attention maps. The teacher's maps are stored with the images,
see `jaxkd.synthesis.attention_maps`.

Two released codes differ in more than their numbers:

- `mode="original"` (the authors'): all steps of a round are on the same
  latents, so that the student's n_S are on the same images; for the
  generator's loss the student is in training mode; the generator's gradients
  are clipped to a norm of 5, and its learning rate is a cosine.
  `reduction="element_mean"`: D is 1/K of the divergence, and beta is chosen for
  that.
- `mode="datafree"` (DataFree): the student's steps are on fresh images, for
  which G normalises by its running statistics; for the generator's loss the
  student is in evaluation mode; `reduction="batch_mean"`, and beta = 0.

In training mode the student normalises G's batch by the statistics of the
batch, and does not keep them: its running statistics are those of the images
that it was trained on. In the authors' code they are updated in the generator's
steps as well. There both learning rates fall once a round, here the student's
with each of its steps.
"""

import functools

import jax
import optax

from jaxkd import losses
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, Field
from jaxkd.config.synthesis_fields import (
  STEP_SIZE,
  STUDENT_STEPS,
  TEMPERATURE,
)
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import attention_maps, first_order
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  LossContext,
  Method,
  MethodInfo,
  Networks,
  Outputs,
  Samples,
)

INFO = MethodInfo(
  access="white_box",
  source="a generator",
  critic="both",
  objective="KL, attention",
  terms=("disagreement",),
  image_steps=("step_size",),
  # Not surrogate: the student does not disagree with itself.
  adaptations=("frozen", "zeroth"),
  label_objective=losses.disagreement_loss,
)

CLIP_NORM = 5.0

FIELDS = (
  *first_order.FIELDS,
  Field(
    "mode",
    str,
    ...,
    "Which of the two released codes it follows.",
    ("original", "datafree"),
  ),
  Field(
    "generator_steps",
    int,
    ...,
    "n_G, updates of the generator on a batch of latents; 1 in datafree.",
    COUNT,
  ),
  STUDENT_STEPS,
  STEP_SIZE,
  Field(
    "reduction",
    str,
    ...,
    "D as 1/K of the divergence (element_mean), or all of it.",
    ("element_mean", "batch_mean"),
  ),
)
HYPER = (
  TEMPERATURE,
  Field(
    "attention",
    float,
    ...,
    "beta, weight of the attention; 0 does without the networks' maps.",
    NOT_NEGATIVE,
  ),
)


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
  generator_steps: int,
  student_steps: int,
  step_size: float,
  reduction: str,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: `temperature`, which divides the logits of both networks, and
      `attention`, beta; 0 does without the networks' maps.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch does not fit into the store, or if `datafree` has
      more than one step of the generator; at the first round, if attention has
      a weight and the networks' features differ in size.
  """
  original = mode == "original"
  if not original and generator_steps > 1:
    raise JaxkdError(
      f"generator_steps={generator_steps}: mode=datafree makes one; set it to "
      "1, or mode=original."
    )
  numbers = {"temperature": hyper["temperature"]}
  if hyper["attention"]:  # without a weight no maps are stored
    numbers = hyper
  distance = functools.partial(
    divergence, reduction=reduction, temperature=hyper["temperature"]
  )
  trainer = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optimiser(mode, step_size, num_rounds * steps_per_round * generator_steps),
    first_order.disagreement(distance, train=original),
    batch_size,
  )

  def init(key: Array, nets: Networks) -> FirstOrderState:
    if hyper["attention"]:
      attention_maps.require_equal_sizes(
        nets.student, nets.teacher, spec, "set hyper.attention=0"
      )
    return trainer.init(key, nets)

  def answer(nets: Networks, images: Array) -> Samples:
    outputs = nets.teacher(images)
    samples = first_order.with_targets(images, outputs)
    if not hyper["attention"]:
      return samples
    return samples._replace(extras=attention_maps.stored_attention(outputs))

  def ask_same(state: FirstOrderState, nets: Networks, key: Array):
    """Updates the generator, and then makes images of the same latents."""
    latent_key, update_key = jax.random.split(key)
    latents = trainer.latents(latent_key)
    state, terms = trainer.fit(
      state, nets, update_key, generator_steps, latents
    )
    images, _ = trainer.images(state.generator.variables, latents, train=True)
    return state, answer(nets, images), terms

  def ask_fresh(state: FirstOrderState, nets: Networks, key: Array):
    state, images = trainer.sample_fresh(
      state, nets, key, every=student_steps, train=False
    )
    return state, answer(nets, images), {}

  return first_order.first_order_method(
    trainer,
    ask_same if original else ask_fresh,
    num_rounds=num_rounds,
    steps_per_round=steps_per_round,
    capacity=capacity,
    objective=functools.partial(student_loss, reduction=reduction),
    hyper=numbers,
    student_steps=student_steps if original else 1,
    init=init,
  )


def optimiser(
  mode: str, step_size: float, num_steps: int
) -> optax.GradientTransformation:
  """Returns the generator's optimiser."""
  if mode == "datafree":
    return optax.adam(step_size, b1=0.5)
  rate = optax.cosine_decay_schedule(step_size, num_steps)
  return optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.adam(rate))


def divergence(
  logits: Array, targets: Array, *, reduction: str, temperature: float | Array
) -> Array:
  """Computes D of each sample, `[B]`, from the logits of both networks."""
  value = losses.disagreement_loss(logits, targets, temperature=temperature)
  return value / logits.shape[-1] if reduction == "element_mean" else value


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
  *,
  reduction: str,
) -> Array:
  """Computes D + beta A of each sample, `[B]`; D alone without stored maps."""
  del context
  loss = divergence(
    outputs.logits,
    samples.targets,
    reduction=reduction,
    temperature=hyper["temperature"],
  )
  if not samples.extras:
    return loss
  distance = attention_maps.attention_distance(outputs, samples.extras)
  return loss + hyper["attention"] * distance
