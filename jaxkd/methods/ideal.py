"""IDEAL: query-efficient data-free learning from black-box models.

Zhang et al., ICLR 2023. The teacher returns labels only, and each costs a
query, so the student replaces it while images are made. In every round (epoch)

1. a new generator takes E_G steps with latents z and classes y fixed,
     CE(student(G(z)), y) + lambda L_info,     the student frozen,
   of which the batch with the lowest loss is taken;
2. the teacher labels it, one query for each image;
3. the student makes passes over the pool of all images so far.

`mode="label_once"` keeps the label with the image: Q = B x rounds, as the paper
counts. The released code (`"relabel"`) asks again for every augmented view in
every pass, B rounds (rounds + 1) / 2 queries in all. `"algorithm1"` is the
paper's listing: new latents for the images that the teacher labels, one student
step on them, no pool.

`ensemble` is ours: labels cost queries and images do not, so students that are
trained on the pool label more images, see `jaxkd.training.ensemble_labeling`.

L_info is `class_balance_loss` (`balance="batch"`, the paper's equation 5) or
`entropy_loss` (`"sample"`, the released code, which pulls against CE).
Ablations: `weights` of zero (table 4), `restart=False`, `num_steps` (table 5),
`generator` (table 6), `student_loss` (table 7), `labels="meant"` and
`source="real"` (table 8: labels without the teacher, images of another set).
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import NOT_NEGATIVE, Field
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  GENERATOR,
  PAID_ROUNDS,
  STEP_SIZE,
  weights_of,
)
from jaxkd.evaluation.predictions import log_probs
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import (
  generator as engine,
  pixels,
  priors,
  replay,
  starts,
)
from jaxkd.synthesis.priors import ToneParams
from jaxkd.training import ensemble_labeling, sample_store as stores
from jaxkd.training.ensemble_labeling import EnsembleConfig, ensemble_stage
from jaxkd.training.objectives import LABEL_LOSS_FIELDS, LABEL_LOSSES
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  LossTerms,
  Method,
  MethodInfo,
  Networks,
  Phase,
  Samples,
  Variables,
)

INFO = MethodInfo(
  access="label",
  source="a generator, new every round",
  critic="student",
  objective="cross entropy on labels",
  terms=("classification", "balance"),
  image_steps=("step_size",),
)

FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  Field("num_steps", int, ..., "E_G, updates of a generator.", NOT_NEGATIVE),
  *GENERATOR,
  STEP_SIZE,
  Field(
    "tones",
    str,
    ...,
    "Whether brightness and contrast of an image are those of the generator "
    "(plain) or drawn at random.",
    ("plain", "random"),
  ),
  weights_of(INFO.terms),
  Field(
    "balance",
    str,
    ...,
    "The term balance of the paper (batch) or of the released code (sample).",
    ("batch", "sample"),
  ),
  Field(
    "restart", bool, ..., "Whether every round starts with a new generator."
  ),
  Field(
    "mode",
    str,
    ...,
    "When the teacher is asked: see jaxkd.methods.ideal.",
    ("label_once", "relabel", "algorithm1"),
  ),
  starts.SHARE,
  *replay.PASS_FIELDS,
  Field("student_loss", str, ..., "The student's loss.", LABEL_LOSSES),
  Field(
    "labels",
    str,
    ...,
    "Labels of the teacher, or the classes that the images were made for.",
    ("teacher", "meant"),
  ),
  Field(
    "source",
    str,
    ...,
    "Images of the generator, or real ones of other_dataset.",
    ("generator", "real"),
  ),
  *ensemble_labeling.FIELDS,
)
HYPER = LABEL_LOSS_FIELDS


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  batch_size: int,
  num_steps: int,
  generator: str,
  latents: int,
  width: int,
  step_size: float,
  tones: str,
  weights: dict[str, float],
  balance: str,
  restart: bool,
  mode: str,
  procedural_share: float,
  passes: int,
  pass_batch_size: int,
  views: tuple[str, ...],
  student_loss: str,
  labels: str,
  source: str,
  ensemble: int,
  extra_images: int,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: of the student's loss: none for `cross_entropy`, `max_margin` and
      `scale` for `ldam`, `beta` and `gamma` for `cb_focal`.
    budget: Q, queries that may be spent.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if fields contradict each other, or if the budget does not pay
      for one round.
  """
  if procedural_share and (labels == "meant" or source == "real"):
    raise JaxkdError(
      f"synthesis.procedural_share={procedural_share}: they replace images of "
      "the generator, and have no class; choose source=generator and "
      "labels=teacher."
    )
  if labels == "meant" and (source == "real" or mode == "algorithm1"):
    raise JaxkdError(
      f"synthesis.labels=meant: with source={source} and mode={mode} no class "
      "was meant; choose labels=teacher."
    )
  if mode == "relabel" and student_loss != "cross_entropy":
    raise JaxkdError(
      f"synthesis.student_loss={student_loss} weighs classes by the stored "
      "labels, and mode=relabel stores none; choose cross_entropy."
    )
  if ensemble and mode == "relabel":
    raise JaxkdError(
      f"synthesis.ensemble={ensemble} is trained on stored answers, and "
      "mode=relabel stores none; set synthesis.ensemble=0."
    )
  if extra_images and source == "real":
    raise JaxkdError(
      f"synthesis.extra_images={extra_images}: source=real makes no images; "
      "set synthesis.extra_images=0."
    )
  objective, numbers = LABEL_LOSSES[student_loss]
  checks.keys("hyper", hyper, numbers)
  if mode == "relabel":
    num_rounds = num_rounds or replay.rounds_within(
      budget, batch_size, passes, pass_batch_size
    )
  num_rounds = checks.rounds_within(budget, batch_size, num_rounds)
  network = create_generator(generator, spec, latents=latents, width=width)
  tx = optax.adam(step_size, b1=0.5)  # the released code's betas

  def make_images(
    variables: Variables, latents: Array, tone: ToneParams
  ) -> Array:
    pre, _ = network.apply(variables, latents, train=True)
    if tones == "plain":
      return network.to_pixels(pre)
    return priors.apply_tone(pre, tone)

  def terms_of(logits: Array, target_labels: Array) -> LossTerms:
    error = optax.softmax_cross_entropy_with_integer_labels(
      logits, target_labels
    )
    info = losses.class_balance_loss(logits)
    if balance == "sample":
      info = losses.entropy_loss(logits).mean()
    return {"classification": error.mean(), "balance": info}

  def init(key: Array, nets: Networks):
    del nets
    network_key, pass_key = jax.random.split(key)
    return {
      "generator": engine.init_state(network.init(network_key), tx),
      "passes": replay.start_passes(pass_key),
    }

  def generate(state, nets: Networks, key: Array):
    init_key, latent_key, label_key, tone_key, fresh_key = jax.random.split(
      key, 5
    )
    generator_state = state["generator"]
    if restart:
      generator_state = engine.init_state(network.init(init_key), tx)
    fixed_latents = jax.random.normal(latent_key, (batch_size, network.latents))
    fixed_tones = priors.random_tones(tone_key, batch_size)
    target_labels = priors.balanced_labels(
      label_key, batch_size, spec.num_classes
    )

    def loss(variables: Variables) -> tuple[Array, tuple[LossTerms, Array]]:
      images = make_images(variables, fixed_latents, fixed_tones)
      terms = terms_of(nets.student(images).logits, target_labels)
      return pixels.weighted_sum(terms, weights), (terms, images)

    generator_state, images, terms = engine.fit_batch(
      loss, generator_state, tx, num_steps
    )
    if mode == "algorithm1":
      fresh = jax.random.normal(fresh_key, (batch_size, network.latents))
      images = make_images(generator_state.variables, fresh, fixed_tones)
    state = {**state, "generator": generator_state}
    return state, Samples(images, target_labels), terms

  def make_batch(student: Classifier, key: Array) -> Samples:
    init_key, key = jax.random.split(key)
    nets = Networks(student, student)
    return generate(init(init_key, nets), nets, key)[1]

  def sample_real(state, nets: Networks, key: Array):
    count = len(nets.data.labels)
    checks.at_most("synthesis.batch_size", batch_size, count, "real images")
    rows = jax.random.choice(key, count, (batch_size,), replace=False)
    images = jnp.take(nets.data.images, rows, axis=0)
    return state, stores.unlabelled(images), {}

  def ask(state, nets: Networks, key: Array):
    images_of = generate if source == "generator" else sample_real
    image_key, pass_key = jax.random.split(key)
    state, samples, terms = images_of(state, nets, image_key)
    if labels == "meant":
      samples = samples._replace(targets=samples.labels)
    elif relabel and nets.teacher is not None:
      # No pass learns from them; the held-out ones evaluate the student.
      answers = log_probs(nets.teacher, samples.images)
      samples = samples._replace(targets=answers)
    return {**state, "passes": replay.start_passes(pass_key)}, samples, terms

  asks_teacher, relabel = labels == "teacher", mode == "relabel"
  make_phase = starts.with_share(
    Phase(
      ask,
      student_steps=int(mode == "algorithm1"),
      queries=asks_teacher and not relabel,
    ),
    procedural_share,
    spec,
  )
  pool_phase = replay.passes_phase(
    passes, pass_batch_size, views, queries=relabel and asks_teacher
  )
  return Method(
    init=init,
    phases=(make_phase,) if mode == "algorithm1" else (make_phase, pool_phase),
    rounds=num_rounds,
    capacity=num_rounds * batch_size,
    steps=num_steps if source == "generator" else 0,
    objective=objective,
    hyper=hyper,
    required_access="label",
    relabel_views=relabel,
    real_images="other" if source == "real" else "",
    pre_student_stage=ensemble_stage(
      EnsembleConfig(ensemble, extra_images), objective, hyper, make_batch
    ),
  )
