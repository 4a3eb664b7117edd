"""IDEAL: query-efficient data-free learning from black-box models.

Zhang et al., ICLR 2023. The teacher gives labels alone, and each costs a query,
so the student stands in for it while images are made. Every round (epoch)

1. a new generator takes E_G steps with latents z and classes y fixed,
     CE(student(G(z)), y) + lambda L_info,     the student frozen,
   and the batch with the lowest loss is kept;
2. the teacher labels it, one query for each image;
3. the student makes passes over the pool of all images so far.

`mode="label_once"` keeps the label with the image: Q = B x rounds, as the paper
counts. The released code (`"relabel"`) asks again for every augmented view in
every pass, B rounds (rounds + 1) / 2 queries in all. `"algorithm1"` is the
paper's listing: new latents for the images that are asked, one student step on
them, no pool.

`ensemble` is ours: labels are dear and images are not, so students of the pool
answer more images together, see `jaxkd.training.ensemble_labeling`.

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
from jaxkd.config.fields import (
  COUNT,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  Field,
)
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  GENERATOR,
  PAID_ROUNDS,
  STEP_SIZE,
  weights_of,
)
from jaxkd.data import augmentation, to_float
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import generator as engine, pixels, priors
from jaxkd.synthesis.priors import ToneParams
from jaxkd.training import (
  ensemble_labeling as committees,
  objectives,
  sample_store as stores,
)
from jaxkd.training.ensemble_labeling import EnsembleConfig
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
)

INFO = MethodInfo(
  access="label",
  source="a generator, new every round",
  critic="student",
  objective="cross entropy on labels",
  terms=("classification", "balance"),
  image_steps=("step_size",),
)

STUDENT_LOSSES = {
  "cross_entropy": objectives.teacher_cross_entropy,
  "ldam": objectives.ldam,
  "cb_focal": objectives.focal,
}
NUMBERS = {
  "cross_entropy": (),
  "ldam": ("max_margin", "scale"),
  "cb_focal": ("beta", "gamma"),
}

FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  Field(
    "num_steps",
    int,
    ...,
    "E_G, updates of the generator in a round.",
    NOT_NEGATIVE,
  ),
  *GENERATOR,
  STEP_SIZE,
  Field(
    "tones",
    str,
    ...,
    "Whether light and contrast of an image are the generator's (plain) or "
    "drawn at random.",
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
  Field("passes", int, ..., "Passes over the pool in every round.", COUNT),
  Field("pass_batch_size", int, ..., "Images in one update of a pass.", COUNT),
  Field(
    "views", tuple[str, ...], ..., "Augmentations of the images in a pass."
  ),
  Field("student_loss", str, ..., "The student's loss.", STUDENT_LOSSES),
  Field(
    "labels",
    str,
    ...,
    "Whether the teacher is asked, or the class that was meant is trusted.",
    ("teacher", "meant"),
  ),
  Field(
    "source",
    str,
    ...,
    "Whether images are made, or real ones of other_dataset.",
    ("generator", "real"),
  ),
  *committees.FIELDS,
)
# Those that `student_loss` takes.
HYPER = (
  Field("max_margin", float, None, "Largest margin of ldam.", POSITIVE),
  Field("scale", float, None, "Scale of the logits of ldam.", POSITIVE),
  Field(
    "beta", float, None, "Of cb_focal: how far classes are balanced.", FRACTION
  ),
  Field(
    "gamma",
    float,
    None,
    "Of cb_focal: how much hard samples count.",
    NOT_NEGATIVE,
  ),
)


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
  passes: int,
  pass_batch_size: int,
  views: tuple[str, ...],
  student_loss: str,
  labels: str,
  source: str,
  ensemble: int,
  extra_images: int,
) -> Method:
  """The method for inputs like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: of the student's loss: none for `cross_entropy`, `max_margin` and
      `scale` for `ldam`, `beta` and `gamma` for `cb_focal`.
    budget: Q, queries that may be spent.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
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
      f"synthesis.ensemble={ensemble} learns stored answers, and "
      "mode=relabel stores none; set synthesis.ensemble=0."
    )
  if extra_images and source == "real":
    raise JaxkdError(
      f"synthesis.extra_images={extra_images}: source=real makes no images; "
      "set synthesis.extra_images=0."
    )
  checks.keys("hyper", hyper, NUMBERS[student_loss])
  if mode == "relabel":
    num_rounds = num_rounds or _relabelled(
      budget, batch_size, passes, pass_batch_size
    )
  num_rounds = checks.rounds_within(budget, batch_size, num_rounds)
  network = create_generator(generator, spec, latents=latents, width=width)
  tx = optax.adam(step_size, b1=0.5)  # the released code's betas

  def make_images(variables, latents: Array, drawn: ToneParams) -> Array:
    pre, _ = network.apply(variables, latents, train=True)
    if tones == "plain":
      return network.to_pixels(pre)
    return priors.apply_tone(pre, drawn)

  def terms_of(logits: Array, meant: Array) -> LossTerms:
    error = optax.softmax_cross_entropy_with_integer_labels(logits, meant)
    info = losses.class_balance_loss(logits)
    if balance == "sample":
      info = losses.entropy_loss(logits).mean()
    return {"classification": error.mean(), "balance": info}

  def init(key: Array, nets: Networks):
    del nets
    network_key, pass_key = jax.random.split(key)
    return {
      "generator": engine.init_state(network.init(network_key), tx),
      "pass_key": pass_key,
      "batches": jnp.zeros((), jnp.int32),
    }

  def generate(state, nets: Networks, key: Array):
    init_key, latent_key, label_key, tone_key, fresh_key = jax.random.split(
      key, 5
    )
    generator_state = state["generator"]
    if restart:
      generator_state = engine.init_state(network.init(init_key), tx)
    drawn = jax.random.normal(latent_key, (batch_size, network.latents))
    toning = priors.random_tones(tone_key, batch_size)
    meant = _balanced_labels(label_key, batch_size, spec.num_classes)

    def loss(variables) -> tuple[Array, tuple[LossTerms, Array]]:
      images = make_images(variables, drawn, toning)
      terms = terms_of(nets.student(images).logits, meant)
      return pixels.weighted_sum(terms, weights), (terms, images)

    generator_state, images, terms = engine.fit_batch(
      loss, generator_state, tx, num_steps
    )
    if mode == "algorithm1":
      fresh = jax.random.normal(fresh_key, (batch_size, network.latents))
      images = make_images(generator_state.variables, fresh, toning)
    state = {**state, "generator": generator_state}
    return state, Samples(images, meant), terms

  def make(student: Classifier, key: Array) -> Samples:
    init_key, key = jax.random.split(key)
    nets = Networks(student, student)
    return generate(init(init_key, nets), nets, key)[1]

  def borrow(state, nets: Networks, key: Array):
    there = len(nets.data.labels)
    checks.at_most("synthesis.batch_size", batch_size, there, "real images")
    rows = jax.random.choice(key, there, (batch_size,), replace=False)
    images = jnp.take(nets.data.images, rows, axis=0)
    return state, stores.unlabelled(images), {}

  def ask(state, nets: Networks, key: Array):
    obtain = generate if source == "generator" else borrow
    make_key, pass_key = jax.random.split(key)
    state, samples, terms = obtain(state, nets, make_key)
    state = {
      **state,
      "pass_key": pass_key,
      "batches": jnp.zeros((), jnp.int32),
    }
    if labels == "meant":
      samples = samples._replace(targets=samples.labels)
    return state, samples, terms

  def look_again(state, nets: Networks, key: Array):
    index, store = state["batches"], nets.store
    per_pass = _batches(store.inserted, pass_batch_size)
    pass_key = jax.random.fold_in(state["pass_key"], index // per_pass)
    samples = stores.shuffled_batch(
      store, pass_key, index % per_pass, pass_batch_size
    )
    images = augmentation.apply(views, key, to_float(samples.images))
    samples = samples._replace(images=images)
    return {**state, "batches": index + 1}, samples, {}

  asks_teacher = labels == "teacher"
  relabel = mode == "relabel"
  pool_phase = Phase(
    look_again,
    repeats=lambda held: passes * _batches(held, pass_batch_size),
    student_steps=1,
    store=False,
    queries=relabel and asks_teacher,
  )
  make_phase = Phase(
    ask,
    student_steps=int(mode == "algorithm1"),
    queries=asks_teacher and not relabel,
  )
  pooled = mode != "algorithm1"
  objective = STUDENT_LOSSES[student_loss]
  return Method(
    init=init,
    phases=(make_phase, pool_phase) if pooled else (make_phase,),
    rounds=num_rounds,
    capacity=num_rounds * batch_size,
    steps=num_steps if source == "generator" else 0,
    objective=objective,
    hyper=hyper,
    required_access="label",
    relabel_views=relabel,
    real_images="other" if source == "real" else "",
    pre_student_stage=committees.prepare(
      EnsembleConfig(ensemble, extra_images), objective, hyper, make
    ),
  )


def _relabelled(
  budget: int, batch_size: int, passes: int, pass_batch_size: int
) -> int:
  """The rounds that `budget` pays for if every pass asks about the pool."""
  rounds = spent = 0
  while True:
    held = (rounds + 1) * batch_size
    spent += passes * _batches(held, pass_batch_size) * pass_batch_size
    if spent > budget:
      break
    rounds += 1
  if not rounds:
    raise JaxkdError(
      f"queries.budget={budget} does not pay for one round, which asks about "
      f"{spent} views; raise it, or lower synthesis.batch_size."
    )
  return rounds


def _batches(held: Array | int, size: int) -> Array | int:
  """Batches in one pass over `held` images, the last one filled up."""
  return -(-held // size)


def _balanced_labels(key: Array, count: int, num_classes: int) -> Array:
  """Every class as often as every other, give or take one, `[count]`."""
  return jax.random.permutation(key, jnp.arange(count) % num_classes)
