"""FastDFKD: a generator whose meta-learned start needs few steps per batch.

Fang et al., "Up to 100x Faster Data-Free Knowledge Distillation", AAAI 2022. A
generator G keeps the features that batches have in common. Every round copies
it, and the copy takes T steps of Adam (2 to 10, where CMI takes 500) together
with fresh latents z, for random classes y, to lower the weighted sum of

  classification   mean CE(t, y), t = teacher(view of G(z))
  batch_norm       as in DeepInversion, of statistics (1 - m) batch + m average,
                   the average over the rounds
  adversarial      - mean [argmax s = argmax t] KL(t || s), not in the first
                   `warmup` rounds, in which the student makes no updates

The batch of the step with the lowest sum is kept, and the student makes updates
on views of all batches so far. Then G itself takes one step of Adam, of T times
the rate, along the sum of the copy's T gradients (`meta="fomaml"`) or towards
the copy's last weights (`"reptile"`).

Read: the abstract, the released code and the tables of its README, not the
paper's text. The code averages the statistics of the last step, here they are
of the batch that is kept; it redraws G's first layer once, at round 140 of 220,
which is left out here. G normalises by the batch throughout.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config.fields import COUNT, FRACTION, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  BATCH_SIZE,
  GENERATOR,
  NUM_ROUNDS,
  NUM_STEPS,
  STEP_SIZE,
  STUDENT_BATCH_SIZE,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data import augmentation
from jaxkd.models.generators.registry import create_generator
from jaxkd.synthesis import (
  batch_statistics,
  generator as engine,
  latent_generator,
  pixels,
  replay,
)
from jaxkd.synthesis.generator import GeneratorState
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  DataSpec,
  Method,
  MethodInfo,
  Networks,
  Phase,
  Samples,
  Variables,
)

INFO = MethodInfo(
  access="white_box",
  source="a generator, from a learned start every round",
  critic="both",
  objective="KD",
  terms=("classification", "batch_norm", "adversarial"),
  image_steps=("step_size", "latent_step_size"),
  # Not zeroth: its generator has no target classes to compare answers to.
  adaptations=("frozen", "surrogate"),
)

FIELDS = (
  NUM_ROUNDS,
  BATCH_SIZE,
  NUM_STEPS,
  *GENERATOR,
  STEP_SIZE,
  Field("latent_step_size", float, ..., "Rate of the latents.", POSITIVE),
  weights_of(INFO.terms),
  Field(
    "momentum",
    float,
    ...,
    "m, share of the average over rounds in a batch's statistics.",
    FRACTION,
  ),
  Field("warmup", int, ..., "Rounds without the student.", NOT_NEGATIVE),
  Field(
    "meta",
    str,
    "fomaml",
    "Direction of the generator's own step, see jaxkd.methods.fast_dfkd.",
    ("fomaml", "reptile"),
  ),
  Field(
    "views",
    tuple[str, ...],
    ...,
    "Augmentations of the images for the loss and for the student.",
    augmentation.AUGMENTATIONS,
  ),
  Field("student_steps", int, ..., "Updates of the student in a round.", COUNT),
  STUDENT_BATCH_SIZE,
)
HYPER = (TEMPERATURE, ALPHA)


def summed_gradients() -> optax.GradientTransformation:
  """Returns a transformation that changes nothing and keeps the sum."""

  def update(grads, total, params=None):
    del params
    return grads, jax.tree.map(jnp.add, total, grads)

  return optax.GradientTransformation(optax.tree.zeros_like, update)


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
  latent_step_size: float,
  weights: dict[str, float],
  momentum: float,
  warmup: int,
  meta: str,
  views: tuple[str, ...],
  student_steps: int,
  student_batch_size: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: `temperature` and `alpha` of `kd_loss`.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: at the first round, if the teacher has no batch normalisations.
  """
  network = create_generator(generator, spec, latents=latents, width=width)
  inner = optax.chain(
    summed_gradients(),
    optax.partition(
      {
        "generator": optax.adam(step_size, b1=0.5),
        "latents": optax.adam(latent_step_size, b1=0.5),
      },
      {"generator": "generator", "latents": "latents"},
    ),
  )
  outer = optax.adam(num_steps * step_size, b1=0.5)

  def init(key: Array, nets: Networks):
    if weights["batch_norm"]:
      batch_statistics.require_batch_norms(
        nets.teacher, spec, "set synthesis.weights.batch_norm=0"
      )
    norms = batch_statistics.shapes(nets.teacher, spec)[1]
    return {
      "generator": engine.init_state(network.init(key), outer),
      # Of the means and variances of each layer, over the rounds so far.
      "average": optax.tree.zeros_like(
        (list(norms.running_means), list(norms.running_variances))
      ),
      "round": jnp.int32(0),
    }

  def ask(state, nets: Networks, key: Array):
    latent_key, label_key, step_key = jax.random.split(key, 3)
    labels = jax.random.randint(label_key, (batch_size,), 0, spec.num_classes)
    variables = state["generator"].variables
    share = jnp.where(state["round"] > 0, momentum, 0.0)
    factors = weights | {
      "adversarial": weights["adversarial"] * (state["round"] >= warmup)
    }

    def loss(trained: Variables, key: Array):
      images = latent_generator.images_of(network, variables, trained["params"])
      seen = augmentation.apply(views, key, images)
      outputs, norms = batch_statistics.capture_batch_norms(nets.teacher, seen)
      average = optax.incremental_update(
        batch_statistics.moments(norms), state["average"], 1 - share
      )
      error = optax.softmax_cross_entropy_with_integer_labels(
        outputs.logits, labels
      )
      terms = {
        "classification": error.mean(),
        "adversarial": latent_generator.adversarial_term(
          nets.student(seen).logits, outputs.logits
        ),
      }
      if weights["batch_norm"]:
        terms["batch_norm"] = losses.batch_norm_loss(
          *average,
          norms.running_means,
          norms.running_variances,
        )
      total = pixels.weighted_sum(terms, factors)
      return total, (terms, (images, average))

    drawn = jax.random.normal(latent_key, (batch_size, network.latents))
    params = {"generator": variables["params"], "latents": drawn}
    copy = GeneratorState({"params": params}, inner.init(params))
    copy, (images, average), terms = engine.fit_augmented(
      loss, copy, inner, step_key, num_steps
    )
    own = variables["params"]
    direction = copy.opt_state[0]["generator"]
    if meta == "reptile":
      direction = optax.tree.sub(own, copy.variables["params"]["generator"])
    updates, opt_state = outer.update(
      direction, state["generator"].opt_state, own
    )
    learned = variables | {"params": optax.apply_updates(own, updates)}
    state = {
      "generator": GeneratorState(learned, opt_state),
      "average": average,
      "round": state["round"] + 1,
    }
    return state, Samples(images, labels), terms

  def updates_of(stored: Array) -> Array:
    """Returns the student's updates once a round's images are stored."""
    return jnp.where(stored > warmup * batch_size, student_steps, 0)

  replay_phase = replay.phase(student_steps, student_batch_size, views)
  return Method(
    init=init,
    phases=(Phase(ask), replay_phase._replace(repeats=updates_of)),
    rounds=num_rounds,
    capacity=num_rounds * batch_size,
    steps=num_steps,
    objective=objectives.kd,
    hyper=hyper,
    relabel_views=True,
    required_access="white_box",
  )
