"""CMI: contrastive model inversion, and CMI*, its student of hard labels.

Fang et al., "Contrastive Model Inversion for Data-Free Knowledge Distillation",
IJCAI 2021. Every round makes one batch with a new generator G, whose latents z
are trained together with its weights, for random classes y:

  classification   mean CE(t, y), t = teacher(global view of G(z))
  batch_norm       the statistics of DeepInversion, on the global view
  adversarial      - mean [argmax s = argmax t] KL(t || s): away from the
                     student s, where both agree on the class
  contrast         each image is discriminated from all others, also those of
                     earlier rounds, by two views
                     (`jaxkd.synthesis.feature_contrast`)

The batch of the step with the lowest sum is taken, its features go into a bank,
and the student makes updates on views of all images so far, which the teacher
labels again. The projection of the contrast, and its Adam, are those of the
round before.

`student="hard"` is CMI* (table 1 of IDEAL, Zhang et al., ICLR 2023): the images
are made in the same way, and the student learns the teacher's class alone.
"""

import jax
import optax

from jaxkd.config import checks
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  BATCH_SIZE,
  GENERATOR,
  NUM_ROUNDS,
  STEP_SIZE,
  STUDENT_BATCH_SIZE,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data import augmentation
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import (
  batch_statistics,
  feature_bank,
  feature_contrast,
  generator as engine,
  latent_generator,
  pixels,
  replay,
)
from jaxkd.synthesis.batch_statistics import BatchNorms
from jaxkd.synthesis.feature_contrast import FeatureContrast
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  DataSpec,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Outputs,
  Phase,
  Samples,
  Variables,
)

INFO = MethodInfo(
  access="white_box",
  source="a generator, new every round",
  critic="both",
  objective="KD, or cross entropy on labels",
  terms=("classification", "batch_norm", "adversarial", "contrast"),
  image_steps=("step_size", "head_step_size"),
  # Not zeroth: its generator has no target classes to compare answers to.
  adaptations=("frozen", "surrogate"),
)

# The student's objective, and the names of its numbers in `hyper`.
STUDENTS = {
  "soft": (objectives.kd, ("temperature", "alpha")),
  "hard": (objectives.teacher_label_cross_entropy, ()),
}

FIELDS = (
  NUM_ROUNDS,
  BATCH_SIZE,
  Field("num_steps", int, ..., "T, updates of a generator.", NOT_NEGATIVE),
  *GENERATOR,
  STEP_SIZE,
  Field("head_step_size", float, ..., "Rate of the projection.", POSITIVE),
  weights_of(INFO.terms),
  Field(
    "features",
    str,
    ...,
    "Which features are contrasted: the inputs of the batch normalisations, or "
    "those that the teacher returns.",
    ("batch_norms", "taps"),
  ),
  Field("temperature", float, ..., "Temperature of the contrast.", POSITIVE),
  Field("bank_size", int, ..., "M, images of which features are kept.", COUNT),
  Field("num_negatives", int, ..., "Those that an update contrasts.", COUNT),
  Field(
    "global_views",
    tuple[str, ...],
    ...,
    "Augmentations of the images for the loss and for the student.",
    augmentation.AUGMENTATIONS,
  ),
  Field(
    "local_views",
    tuple[str, ...],
    ...,
    "Augmentations of the images that are contrasted with them.",
    augmentation.AUGMENTATIONS,
  ),
  Field(
    "student",
    str,
    ...,
    "Targets of the student: soft (CMI) or hard (CMI*).",
    STUDENTS,
  ),
  Field("student_steps", int, ..., "Updates of the student in a round.", COUNT),
  STUDENT_BATCH_SIZE,
)
HYPER = tuple(f._replace(default=None) for f in (TEMPERATURE, ALPHA))


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_rounds: int,
  batch_size: int,
  num_steps: int,
  generator: str,
  latents: int,
  width: int,
  step_size: float,
  head_step_size: float,
  weights: dict[str, float],
  features: str,
  temperature: float,
  bank_size: int,
  num_negatives: int,
  global_views: tuple[str, ...],
  local_views: tuple[str, ...],
  student: str,
  student_steps: int,
  student_batch_size: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: of the student's objective: `temperature` and `alpha` of `kd_loss`,
      or none for `student=hard`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if `hyper` does not suit the student, or if a batch or the
      negatives exceed the bank; at the first round, if the teacher does not
      have the features or batch normalisations.
  """
  checks.at_most("batch_size", batch_size, bank_size, "places in the bank")
  checks.at_most("num_negatives", num_negatives, bank_size, "in the bank")
  objective, expected = STUDENTS[student]
  checks.keys("hyper", hyper, expected)
  network = create_generator(generator, spec, latents=latents, width=width)
  tx = latent_generator.optimiser(step_size, head_step_size)
  contrast = FeatureContrast(features, bank_size, num_negatives, temperature)

  def terms_of(
    outputs: Outputs, norms: BatchNorms, student_logits: Array, labels: Array
  ) -> LossTerms:
    """Computes all terms but the contrast."""
    logits = outputs.logits
    error = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    terms = {
      "classification": error.mean(),
      "adversarial": latent_generator.adversarial_term(student_logits, logits),
    }
    if weights["batch_norm"]:
      terms["batch_norm"] = batch_statistics.batch_norm_term(norms)
    return terms

  def init(key: Array, nets: Networks):
    if weights["batch_norm"]:
      batch_statistics.require_batch_norms(
        nets.teacher, spec, feature_contrast.WITHOUT_BATCH_NORMS
      )
    head_key, fresh_key = jax.random.split(key)
    head, bank = contrast.init(head_key, nets.teacher, spec)
    _, params = latent_generator.init(network, fresh_key, batch_size, head)
    return {
      "head": head,
      "head_optimizer": tx.init(params).inner_states["head"],
      "bank": bank,
    }

  def ask(state, nets: Networks, key: Array):
    fresh_key, label_key, step_key = jax.random.split(key, 3)
    variables, params = latent_generator.init(
      network, fresh_key, batch_size, state["head"]
    )
    labels = jax.random.randint(label_key, (batch_size,), 0, spec.num_classes)

    def loss(trained: Variables, key: Array):
      global_key, local_key, bank_key = jax.random.split(key, 3)
      params = trained["params"]
      images = latent_generator.images_of(network, variables, params)
      views = augmentation.apply(global_views, global_key, images)
      global_view = batch_statistics.capture_batch_norms(nets.teacher, views)
      student_logits = nets.student(views).logits
      views = augmentation.apply(local_views, local_key, images)
      local_view = batch_statistics.capture_batch_norms(nets.teacher, views)
      pairs = contrast.pairs_of(local_view, global_view)
      terms = terms_of(*global_view, student_logits, labels)
      terms["contrast"] = contrast.term(
        params["head"], state["bank"], bank_key, pairs
      )
      return pixels.weighted_sum(terms, weights), (terms, (images, pairs))

    start = latent_generator.init_state(tx, params, state["head_optimizer"])
    (trained, opt_state), (images, pairs), terms = engine.fit_augmented(
      loss, start, tx, step_key, num_steps
    )
    state = {
      "head": trained["params"]["head"],
      "head_optimizer": opt_state.inner_states["head"],
      "bank": feature_bank.insert(state["bank"], pairs),
    }
    return state, Samples(images, labels), terms

  replay_phase = replay.phase(student_steps, student_batch_size, global_views)
  return Method(
    init=init,
    phases=(Phase(ask), replay_phase),
    rounds=num_rounds,
    capacity=num_rounds * batch_size,
    steps=num_steps,
    objective=objective,
    hyper=hyper,
    relabel_views=True,
    required_access="white_box",
  )
