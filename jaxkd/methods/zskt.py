"""ZSKT: zero-shot knowledge transfer via adversarial belief matching.

Micaelli and Storkey, NeurIPS 2019. A generator G seeks images on which the
student does not believe what the teacher believes, the student learns to
believe it. With D the mean KL(teacher || student) of a batch G(z),

  generator  raises  D                       n_G times,
  student    lowers  D + beta A              n_S times,

where A, the sum over the maps that both networks show of the mean squared
distance of their attention, makes the student look where the teacher looks.
The teacher's attention travels along with the images (`Samples.extras`).

Two released codes differ in more than their numbers:

- `mode="original"` (the authors'): all steps of a round are on the same
  latents, so that the student's n_S are on the same images; the generator
  meets the student in training mode; its gradients are clipped to a norm of 5,
  and its rate is a cosine. `reduction="element_mean"`: D is 1/K of the
  divergence, which is what beta belongs to.
- `mode="datafree"` (DataFree): the student's steps are on fresh images, for
  which G normalises by its running statistics; the generator meets the student
  in evaluation mode; `reduction="batch_mean"`, and beta = 0.

In training mode the student normalises G's batch by its own statistics, and
keeps nothing of them: its running statistics are those of the images that it
was trained on. In the authors' code they take in the generator's steps as well.
There both rates fall once a round, here the student's with each of its steps.
"""

import functools

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, Field
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  GENERATOR,
  NUM_ROUNDS,
  STEP_SIZE,
  STUDENT_STEPS,
  TEMPERATURE,
)
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import first_order
from jaxkd.synthesis.first_order import FirstOrderState, GeneratorTrainer
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  LossContext,
  Method,
  MethodInfo,
  Networks,
  Outputs,
  Phase,
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
  NUM_ROUNDS,
  Field(
    "steps_per_round",
    int,
    ...,
    "Batches of latents in a round; in datafree those that the student learns "
    "from.",
    COUNT,
  ),
  BATCH_SIZE,
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
  *GENERATOR,
  STEP_SIZE,
  Field(
    "reduction",
    str,
    ...,
    "D as 1/K of the divergence (element_mean), or all of it.",
    ("element_mean", "batch_mean"),
  ),
  CAPACITY,
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
  mode: str,
  generator_steps: int,
  student_steps: int,
  generator: str,
  latents: int,
  width: int,
  step_size: float,
  reduction: str,
  capacity: int,
) -> Method:
  """The method for images like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: `temperature`, which divides the logits of both networks, and
      `attention`, beta; 0 does without the networks' maps.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be; at the first round, if
      there is attention to compare and the networks' maps do not pair.
  """
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  original = mode == "original"
  if not original and generator_steps > 1:
    raise JaxkdError(
      f"generator_steps={generator_steps}: mode=datafree makes one; set it to "
      "1, or mode=original."
    )
  distance = functools.partial(
    divergence, reduction=reduction, temperature=hyper["temperature"]
  )
  seeker = GeneratorTrainer(
    create_generator(generator, spec, latents=latents, width=width),
    optimiser(mode, step_size, num_rounds * steps_per_round * generator_steps),
    first_order.disagreement(distance, train=original),
    batch_size,
  )

  def init(key: Array, nets: Networks) -> FirstOrderState:
    if hyper["attention"]:
      check_maps(nets.student, nets.teacher, spec)
    return seeker.init(key, nets)

  def answer(nets: Networks, images: Array) -> Samples:
    outputs = nets.teacher(images)
    samples = first_order.with_targets(images, outputs)
    if not hyper["attention"]:
      return samples
    return samples._replace(extras=attention(outputs))

  def ask_again(state: FirstOrderState, nets: Networks, key: Array):
    """The generator's steps, and the images that they led to."""
    latent_key, update_key = jax.random.split(key)
    latents = seeker.latents(latent_key)

    state, terms = jax.lax.scan(
      lambda state, key: seeker.update(state, nets, latents, key),
      state,
      jax.random.split(update_key, generator_steps),
    )
    images, _ = seeker.images(state.generator.variables, latents, train=True)
    terms = jax.tree.map(lambda term: term[-1], terms)
    return state, answer(nets, images), terms

  def ask_afresh(state: FirstOrderState, nets: Networks, key: Array):
    state, images = seeker.sample_fresh(
      state, nets, key, every=student_steps, train=False
    )
    return state, answer(nets, images), {}

  phase = Phase(
    ask_again if original else ask_afresh,
    repeats=steps_per_round,
    student_steps=student_steps if original else 1,
    queries=False,  # the answers are a by-product of the generator's loss
  )
  return Method(
    init=init,
    phases=(phase,),
    rounds=num_rounds,
    capacity=min(capacity, num_rounds * steps_per_round * batch_size),
    objective=functools.partial(student_loss, reduction=reduction),
    hyper=hyper,
    required_access="white_box",
  )


def optimiser(
  mode: str, step_size: float, num_steps: int
) -> optax.GradientTransformation:
  """The generator's."""
  if mode == "datafree":
    return optax.adam(step_size, b1=0.5)
  rate = optax.cosine_decay_schedule(step_size, num_steps)
  return optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.adam(rate))


def divergence(
  logits: Array, targets: Array, *, reduction: str, temperature: float | Array
) -> Array:
  """D of each sample, `[B]`, of the student's logits to the teacher's."""
  found = losses.disagreement_loss(logits, targets, temperature=temperature)
  return found / logits.shape[-1] if reduction == "element_mean" else found


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
  *,
  reduction: str,
) -> Array:
  """D + beta A of each sample, `[B]`; D alone if no attention came along."""
  del context
  loss = divergence(
    outputs.logits,
    samples.targets,
    reduction=reduction,
    temperature=hyper["temperature"],
  )
  if not samples.extras:
    return loss
  theirs = [samples.extras[name] for name in sorted(samples.extras)]
  # Of one image at a time, [1, H, W, C], so that each has its own loss.
  pairs = jax.tree.map(
    lambda maps: maps[:, None], (spatial_features(outputs), theirs)
  )
  gaps = jax.vmap(losses.attention_transfer_loss)(*pairs)
  return loss + hyper["attention"] * gaps


def spatial_features(outputs: Outputs) -> list[Array]:
  """The features that have a place in the image, `[B, H, W, C]`."""
  return [maps for maps in outputs.features if maps.ndim == 4]


def attention(outputs: Outputs) -> dict[str, Array]:
  """What is kept of a network's maps, `[B, H, W, 1]` each.

  Attention is made of squares averaged over the channels, so one channel, the
  root of that mean, stands for them all.
  """
  return {
    f"attention_{index:03}": jnp.sqrt(jnp.mean(maps**2, -1, keepdims=True))
    for index, maps in enumerate(spatial_features(outputs))
  }


def check_maps(student: Classifier, teacher: Classifier, spec: DataSpec):
  """Refuses networks that do not show maps of the same sizes.

  Raises:
    JaxkdError: naming them, their maps, and how to do without.
  """

  def sizes(network: Classifier) -> list[str]:
    images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    maps = spatial_features(jax.eval_shape(network, images))
    return ["x".join(map(str, found.shape[1:3])) for found in maps]

  ours, theirs = sizes(student), sizes(teacher)
  if not ours or ours != theirs:
    raise JaxkdError(
      f"zskt compares where student and teacher look, and {student.name!r} "
      f"shows maps of {', '.join(ours) or 'no size'}, {teacher.name!r} of "
      f"{', '.join(theirs) or 'no size'}; choose networks of one family, or "
      "set hyper.attention=0."
    )
