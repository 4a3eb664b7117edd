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
                     (`jaxkd.synthesis.feature_bank`)

The batch of the step with the lowest sum is taken, its features go into a bank,
and the student makes updates on views of all images so far, which the teacher
labels again. The projection of the contrast, and its Adam, are those of the
round before.

`student="hard"` is CMI* (table 1 of IDEAL, Zhang et al., ICLR 2023): the images
are made in the same way, and the student is trained on the teacher's class
alone. Features are the means over places of the inputs of all batch
normalisations (`features="batch_norms"`), or of the features that the teacher
returns (`"taps"`): of a ResNet the outputs of its stages and of the pool, where
the released code has the inputs of its four stages.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
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
  generator as engine,
  pixels,
  replay,
)
from jaxkd.synthesis.batch_statistics import BatchNorms
from jaxkd.synthesis.generator import GeneratorState
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
  # Not zeroth: a generator without classes has none to judge by.
  adaptations=("frozen", "surrogate"),
)

HEAD = feature_bank.ProjectionHead()

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
  tx = optax.partition(
    {
      "image": optax.adam(step_size, b1=0.5),  # the released code's betas
      "head": optax.adam(head_step_size),
    },
    {"generator": "image", "latents": "image", "head": "head"},
  )

  def features_of(outputs: Outputs, norms: BatchNorms) -> Array:
    taps = norms.inputs if features == "batch_norms" else outputs.features
    return batch_statistics.pooled(taps)

  def terms_of(
    outputs: Outputs,
    norms: BatchNorms,
    student_logits: Array,
    target_labels: Array,
  ) -> LossTerms:
    """Computes all terms but the contrast."""
    logits = outputs.logits
    error = optax.softmax_cross_entropy_with_integer_labels(
      logits, target_labels
    )
    agree = student_logits.argmax(-1) == logits.argmax(-1)
    gap = losses.disagreement_loss(student_logits, logits, kind="kl")
    terms = {
      "classification": error.mean(),
      "adversarial": -jnp.mean(agree * gap),
    }
    if weights["batch_norm"]:
      terms["batch_norm"] = batch_statistics.batch_norm_term(norms)
    return terms

  def init(key: Array, nets: Networks):
    taps = features == "taps"
    if taps:
      batch_statistics.require_features(
        nets.teacher, spec, "set synthesis.features=batch_norms"
      )
    if weights["batch_norm"] or not taps:
      batch_statistics.require_batch_norms(
        nets.teacher,
        spec,
        "set synthesis.weights.batch_norm=0 and synthesis.features=taps",
      )
    shape = jax.eval_shape(
      features_of, *batch_statistics.shapes(nets.teacher, spec)
    ).shape
    head_key, fresh_key = jax.random.split(key)
    head = HEAD.init(head_key, jnp.zeros(shape))["params"]
    return {
      "head": head,
      "head_optimizer": tx.init(fresh(fresh_key, head)[1]).inner_states["head"],
      "bank": feature_bank.empty(bank_size, shape[-1]),
    }

  def fresh(key: Array, head: Variables) -> tuple[Variables, Variables]:
    """Returns a new generator, and the parameters that are trained with it."""
    init_key, latent_key = jax.random.split(key)
    variables = network.init(init_key)
    params = {
      "generator": variables["params"],
      "latents": jax.random.normal(latent_key, (batch_size, network.latents)),
      "head": head,
    }
    return variables, params

  def ask(state, nets: Networks, key: Array):
    fresh_key, label_key, step_key = jax.random.split(key, 3)
    variables, params = fresh(fresh_key, state["head"])
    target_labels = jax.random.randint(
      label_key, (batch_size,), 0, spec.num_classes
    )

    def loss(trained: Variables, key: Array):
      global_key, local_key, bank_key = jax.random.split(key, 3)
      params = trained["params"]
      pre, _ = network.apply(
        {**variables, "params": params["generator"]},
        params["latents"],
        train=True,
      )
      images = network.to_pixels(pre)
      views = augmentation.apply(global_views, global_key, images)
      outputs, norms = batch_statistics.capture_batch_norms(nets.teacher, views)
      student_logits = nets.student(views).logits
      views = augmentation.apply(local_views, local_key, images)
      local = batch_statistics.capture_batch_norms(nets.teacher, views)
      pairs = jnp.stack(
        [features_of(*local), features_of(outputs, norms)], axis=1
      )
      terms = terms_of(outputs, norms, student_logits, target_labels)
      terms["contrast"] = feature_bank.info_nce_term(
        lambda x: HEAD.apply({"params": params["head"]}, x),
        pairs,
        *feature_bank.draw(state["bank"], bank_key, num_negatives),
        temperature,
      )
      return pixels.weighted_sum(terms, weights), (terms, (images, pairs))

    opt_state = tx.init(params)
    opt_state = opt_state._replace(
      inner_states={**opt_state.inner_states, "head": state["head_optimizer"]}
    )
    start = GeneratorState({"params": params}, opt_state)
    (trained, opt_state), (images, pairs), terms = engine.fit_augmented(
      loss, start, tx, step_key, num_steps
    )
    state = {
      "head": trained["params"]["head"],
      "head_optimizer": opt_state.inner_states["head"],
      "bank": feature_bank.insert(state["bank"], pairs),
    }
    return state, Samples(images, target_labels), terms

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
