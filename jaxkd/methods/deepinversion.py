"""DeepInversion and Adaptive DeepInversion: images from batch statistics.

Yin et al., "Dreaming to Distill: Data-free Knowledge Transfer via
DeepInversion", CVPR 2020. A batch x starts as noise in the normalised space,
its classes y in turn, and is optimised by Adam, every step on x', the batch
rolled by a few pixels:

  classification    mean CE(teacher(x'), y)
  batch_norm        sum over layers ||mean - stored mean||_2
                      + ||variance - stored variance||_2, of their inputs
  total_variation   of neighbours in four directions
  norm              ||x'||_2
  competition       - J, how far the student is from the teacher on x'

With a weight on the competition it is ADI, for which the student has to learn
while images are made (`student_steps`). J is a divergence of Jensen and
Shannon at temperature 3, see the kind `js` of `disagreement_loss`.

Two released codes differ, each with weights of its own. The authors':
`variation="frobenius"`, `competition="clipped"`, 1 - clip(J, 0, 1), and no
`mirror` or `clip` on CIFAR-10; DataFree: `"absolute"`, `"plain"`, -J, images
mirrored and clipped. Both keep the last images, whatever they call best.

The authors' code for ImageNet also starts at half the resolution
(`coarse_steps`), lets the step size rise over `warmup_steps` and fall as a
cosine in each of the two stages, weighs the first layer's statistics ten times
(`first_batch_norm`), takes the mean of the images' norms (`norm="images"`), and
draws classes where a batch is smaller than their number.

The authors have not released how their student learns. Here it is DataFree's
way: the teacher answers each view that the student is shown, anew.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config.fields import FRACTION, NOT_NEGATIVE, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  BATCH_SIZE,
  NUM_ROUNDS,
  NUM_STEPS,
  STEP_SIZE,
  STUDENT_BATCH_SIZE,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data import augmentation
from jaxkd.models.layers import clip_to_pixels, to_pixels
from jaxkd.runtime import devices
from jaxkd.synthesis import (
  batch_statistics,
  multi_resolution,
  pixels,
  priors,
  replay,
  starts,
)
from jaxkd.synthesis.multi_resolution import Stage
from jaxkd.training.objectives import kd
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Phase,
  Samples,
)

INFO = MethodInfo(
  access="white_box",
  source="pixels",
  critic="teacher, in ADI both",
  objective="KD",
  terms=(
    "classification",
    "batch_norm",
    "total_variation",
    "norm",
    "competition",
  ),
  image_steps=("step_size",),
  # Not zeroth: its generator has no target classes to compare answers to.
  adaptations=("frozen", "surrogate"),
)

NORMS = {
  "batch": priors.frobenius_norm,
  "images": lambda images: jax.vmap(priors.frobenius_norm)(images).mean(),
}
VARIATIONS = {
  "frobenius": priors.frobenius_variation,
  "absolute": priors.absolute_variation,
}
COMPETITIONS = {
  "clipped": lambda gap: 1 - jnp.clip(gap, 0.0, 1.0),
  "plain": lambda gap: -gap,
}
COMPETITION_TEMPERATURE = 3.0  # in both codes

FIELDS = (
  NUM_ROUNDS,
  BATCH_SIZE,
  NUM_STEPS,
  multi_resolution.COARSE_STEPS,
  STEP_SIZE,
  Field(
    "warmup_steps",
    int,
    0,
    "Steps over which the step size rises, in each resolution.",
    NOT_NEGATIVE,
  ),
  Field(
    "schedule",
    str,
    "constant",
    "Course of the step size after that, in each resolution.",
    ("constant", "cosine"),
  ),
  Field(
    "betas", tuple[float, float], ..., "Decays of Adam's averages.", FRACTION
  ),
  Field(
    "jitter",
    int,
    ...,
    "Pixels by which a batch is rolled at most, each way.",
    NOT_NEGATIVE,
  ),
  Field("mirror", bool, ..., "Whether it is also mirrored, at random."),
  starts.START,
  Field(
    "clip",
    bool,
    ...,
    "Whether pixels are clipped to [0, 1] after each update.",
  ),
  Field("variation", str, ..., "Kind of the term total_variation.", VARIATIONS),
  Field("norm", str, "batch", "What the term norm is the norm of.", NORMS),
  Field(
    "first_batch_norm",
    float,
    1.0,
    "Factor of the first layer in the term batch_norm.",
    NOT_NEGATIVE,
  ),
  Field("competition", str, ..., "Kind of the term competition.", COMPETITIONS),
  weights_of(INFO.terms),
  Field(
    "student_steps",
    int,
    ...,
    "Updates of the student after each batch, on all images so far.",
    NOT_NEGATIVE,
  ),
  STUDENT_BATCH_SIZE,
  Field(
    "views",
    tuple[str, ...],
    ...,
    "Augmentations of the student's images.",
    augmentation.AUGMENTATIONS,
  ),
)
HYPER = (TEMPERATURE, ALPHA)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_rounds: int,
  batch_size: int,
  num_steps: int,
  coarse_steps: int,
  step_size: float,
  warmup_steps: int,
  schedule: str,
  betas: tuple[float, float],
  jitter: int,
  mirror: bool,
  start: str,
  clip: bool,
  variation: str,
  norm: str,
  first_batch_norm: float,
  competition: str,
  weights: dict[str, float],
  student_steps: int,
  student_batch_size: int,
  views: tuple[str, ...],
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: `temperature` and `alpha` of the student's `kd_loss`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if the competition has a weight and the student is not updated,
      if inputs are no images, or if there are fewer steps than are divided; at
      the first round, if the statistics have a weight and the teacher has no
      batch normalisations.
  """
  if weights["competition"] and not student_steps:
    raise JaxkdError(
      f"synthesis.weights.competition={weights['competition']}: the student is "
      "not updated while images are made, so the term means nothing; set "
      "synthesis.student_steps above 0, or this weight to 0."
    )
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"deepinversion makes images [H, W, C], and {spec.name} has inputs of "
      f"shape {spec.shape}; choose another dataset."
    )

  multi_resolution.check(spec, num_steps, coarse_steps)
  shortest = min(coarse_steps or num_steps, num_steps - coarse_steps)
  if warmup_steps >= shortest:
    raise JaxkdError(
      f"synthesis.warmup_steps={warmup_steps}: there are {shortest} steps at "
      "one resolution; choose fewer, or 0."
    )

  def terms_of(inputs: Array, labels: Array, nets: Networks) -> LossTerms:
    inputs = devices.over_batch(inputs)
    images = to_pixels(inputs, spec)
    outputs, norms = batch_statistics.capture_batch_norms(nets.teacher, images)
    error = optax.softmax_cross_entropy_with_integer_labels(
      outputs.logits, labels
    )
    terms = {
      "classification": error.mean(),
      "total_variation": VARIATIONS[variation](inputs),
      "norm": NORMS[norm](inputs),
    }
    if weights["batch_norm"]:
      terms["batch_norm"] = batch_statistics.batch_norm_term(
        norms, first_batch_norm
      )
    if weights["competition"]:
      gap = losses.disagreement_loss(
        nets.student(images).logits,
        outputs.logits,
        kind="js",
        temperature=COMPETITION_TEMPERATURE,
      )
      terms["competition"] = COMPETITIONS[competition](gap.mean())
    return terms

  def step_sizes(stage: Stage) -> float | optax.Schedule:
    if schedule == "constant":
      rise = optax.linear_schedule(0.0, step_size, warmup_steps)
      return rise if warmup_steps else step_size
    return optax.warmup_cosine_decay_schedule(
      0.0, step_size, warmup_steps, stage.num_steps
    )

  def init(key: Array, nets: Networks):
    del key
    if weights["batch_norm"]:
      batch_statistics.require_batch_norms(
        nets.teacher, spec, "set synthesis.weights.batch_norm=0"
      )
    return ()

  def make(state, nets: Networks, key: Array):
    start_key, step_key, label_key = jax.random.split(key, 3)
    labels = priors.cycled_labels(batch_size, spec.num_classes)
    if batch_size < spec.num_classes:
      # In turn, every batch would have the same classes.
      labels = priors.distinct_labels(
        label_key, 1, batch_size, spec.num_classes
      )[0]

    def loss(
      inputs: Array, key: Array, stage: Stage
    ) -> tuple[Array, LossTerms]:
      jittered = augmentation.jitter(
        key, inputs, stage.pixels(jitter), mirror=mirror
      )
      terms = terms_of(jittered, labels, nets)
      return pixels.weighted_sum(terms, weights), terms

    def project(inputs: Array) -> Array:
      return clip_to_pixels(inputs, spec) if clip else inputs

    viewers = [nets.teacher]
    if weights["competition"]:
      viewers.append(nets.student)
    inputs, terms = multi_resolution.optimise(
      loss,
      starts.start_images(start, start_key, batch_size, spec),
      lambda stage: optax.adam(step_sizes(stage), *betas),
      step_key,
      multi_resolution.stages(num_steps, coarse_steps, spec, *viewers),
      project,
    )
    return state, Samples(to_pixels(inputs, spec), labels), terms

  phases = (Phase(make),)
  if student_steps:
    phases += (replay.phase(student_steps, student_batch_size, views),)
  return Method(
    init=init,
    phases=phases,
    rounds=num_rounds,
    capacity=num_rounds * batch_size,
    steps=num_steps,
    objective=kd,
    hyper=hyper,
    relabel_views=True,
    required_access="white_box",
  )
