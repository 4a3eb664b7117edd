"""CAKE and LAKE: contrastive abductive knowledge extraction.

Braun, Mundt and Kersting, "Deep Classifier Mimicry without Data Access",
AISTATS 2024. A set of N images starts as noise, in groups of G images with
distinct labels, and takes T steps of gradient descent on the sum of

  w_cls  G CE(teacher(x), y)                 to the right side of the boundary,
  w_con  (1 / (B K)) sum ||f_g - f_h||^2     back towards the other classes,
  w_tv   TV(x)                               towards smooth images,

with a step size that is constant inside a set and falls log-linearly over the
sets, which scatters the sets along the boundary at different scales. LAKE
(`dynamics="langevin"`) adds sqrt(2 eta) noise to every step. The student is
trained on the final images and the teacher's soft answers to them.

The poster pairs all samples with unlike labels (`contrast="all_pairs"`), the
released code the members of a group (`"groups"`); the published weights are for
groups. The poster prints its update as an ascent; here it is a descent, as in
the code. `weights` of zero for contrast and total variation, and no
decay, are the poster's "naive" synthesis.

The published numbers are those of one teacher's gradients. Ours, with
`step_unit="pixel"`, divides the gradients of a set by the root mean square of
the first ones, keeps images within [0, 1], and starts from procedural images
that the teacher takes for their class (`start="matched"`). Large images can be
optimised at half the resolution first (`coarse_steps`), and rolled by a few
pixels in each step (`jitter`), as DeepInversion does.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import (
  ALPHA,
  NUM_STEPS,
  TEMPERATURE,
  weights_of,
)
from jaxkd.data import augmentation
from jaxkd.models.layers import clip_to_pixels, to_pixels
from jaxkd.runtime import devices
from jaxkd.synthesis import multi_resolution, pixels, priors, starts
from jaxkd.synthesis.multi_resolution import Stage
from jaxkd.training import optimisers
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
  critic="teacher",
  objective="KD",
  terms=("classification", "contrast", "total_variation"),
  image_steps=("step_size",),
)

FIELDS = (
  Field("num_sets", int, ..., "M, sets in all; one step size each.", COUNT),
  Field("set_size", int, ..., "N, images in a set.", COUNT),
  Field(
    "group_size",
    int,
    ...,
    "G, images in a group, all of different classes; 0: 10, or with fewer "
    "classes the largest divisor of set_size up to their number.",
    NOT_NEGATIVE,
  ),
  NUM_STEPS,
  multi_resolution.COARSE_STEPS,
  Field("step_size", float, ..., "Step size of the first set.", POSITIVE),
  Field(
    "step_size_decades",
    float,
    ...,
    "Powers of ten by which it falls over the sets.",
  ),
  weights_of(INFO.terms),
  Field(
    "contrast",
    str,
    "groups",
    "Pairs of the term contrast: members of a group, or all unlike labels.",
    ("groups", "all_pairs"),
  ),
  Field(
    "dynamics",
    str,
    "sgd",
    "Steps of CAKE (sgd) or LAKE (langevin).",
    optimisers.DYNAMICS,
  ),
  starts.MATCHED_START,
  starts.sources_block(starts.MIXTURE),
  Field(
    "jitter",
    int,
    0,
    "Pixels by which a set is rolled at most in each step, each way.",
    NOT_NEGATIVE,
  ),
  Field(
    "step_unit",
    str,
    "gradient",
    "What step_size is a multiple of: the gradient, as published, or a pixel; "
    "with pixel, images also stay within [0, 1].",
    ("gradient", "pixel"),
  ),
  Field(
    "sets_per_round",
    int,
    0,
    "S, sets that one dispatch works on; 0: chosen from the device.",
    NOT_NEGATIVE,
  ),
)
HYPER = (TEMPERATURE, ALPHA)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_sets: int,
  set_size: int,
  group_size: int,
  num_steps: int,
  coarse_steps: int,
  step_size: float,
  step_size_decades: float,
  weights: dict[str, float],
  contrast: str,
  dynamics: str,
  start: str,
  sources: dict[str, float],
  jitter: int,
  step_unit: str,
  sets_per_round: int,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: shape, classes and normaliser of the data.
    hyper: `temperature` and `alpha` of the student's `kd_loss`; CAKE has 1, 1.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if `group_size` exceeds the number of classes, if a set is no
      multiple of a group, if the sets are no multiple of those of a round, if
      inputs are rolled or halved that are no images, or if images are to start
      from procedural ones and no source of these has a weight.
  """
  # Both are chosen by now.
  checks.positive(sets_per_round=sets_per_round, group_size=group_size)
  checks.at_most("group_size", group_size, spec.num_classes, "classes")
  checks.multiple("set_size", set_size, "group_size", group_size)
  checks.multiple("num_sets", num_sets, "sets_per_round", sets_per_round)
  num_groups = set_size // group_size
  sizes = optimisers.step_sizes(num_sets, step_size, step_size_decades)
  is_image = len(spec.shape) == 3
  multi_resolution.check(spec, num_steps, coarse_steps)
  if start != "noise":
    starts.check_sources(sources)
  if jitter and not is_image:
    raise JaxkdError(
      f"synthesis.jitter={jitter}: {spec.name} has inputs of shape "
      f"{spec.shape}, which are no images; set it to 0."
    )

  def terms_of(logits: Array, inputs: Array, labels: Array) -> LossTerms:
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    terms = {
      "classification": group_size * cross_entropy(logits, labels).mean()
    }
    if contrast == "groups":
      grouped = logits.reshape(num_groups, group_size, -1)
      terms["contrast"] = losses.grouped_contrastive_loss(grouped)
    else:
      terms["contrast"] = losses.contrastive_loss(logits, labels)
    if is_image:
      terms["total_variation"] = losses.total_variation(inputs).mean()
    return terms

  def first_inputs(nets: Networks, key: Array, labels: Array) -> Array:
    if start == "matched":
      return starts.matched_images(nets.teacher, key, labels, spec, sources)
    return starts.start_images(start, key, set_size, spec, sources)

  def project(inputs: Array) -> Array:
    stays = step_unit == "pixel" and is_image
    return clip_to_pixels(inputs, spec) if stays else inputs

  def step(
    size: Array, key: Array, stage: Stage
  ) -> optax.GradientTransformation:
    if stage.factor > 1:
      key = jax.random.fold_in(key, stage.factor)
    dynamics_of = optimisers.DYNAMICS[dynamics]
    if step_unit == "gradient":
      return dynamics_of(size, key)
    # At this temperature the noise is as large as the first step.
    return pixels.in_pixels(dynamics_of(size, key, size / 2), spec)

  def keys_of_set(key: Array, index: Array) -> Array:
    return jax.random.split(jax.random.fold_in(key, index), 4)

  def start_set(
    nets: Networks, key: Array, index: Array
  ) -> tuple[Array, Array]:
    start_key, label_key, _, _ = keys_of_set(key, index)
    labels = priors.distinct_labels(
      label_key, num_groups, group_size, spec.num_classes
    ).reshape(-1)
    return first_inputs(nets, start_key, labels), labels

  def make_set(
    nets: Networks, key: Array, index: Array, inputs: Array, labels: Array
  ) -> tuple[Samples, LossTerms]:
    _, _, noise_key, shift_key = keys_of_set(key, index)

    def loss(
      inputs: Array, key: Array | None, stage: Stage
    ) -> tuple[Array, LossTerms]:
      if jitter:
        inputs = augmentation.jitter(key, inputs, stage.pixels(jitter))
      logits = nets.teacher(to_pixels(inputs, spec)).logits
      terms = terms_of(logits, inputs, labels)
      return pixels.weighted_sum(terms, weights), terms

    inputs, terms = multi_resolution.optimise(
      loss,
      inputs,
      lambda stage: step(sizes[index], noise_key, stage),
      shift_key if jitter else None,
      multi_resolution.stages(num_steps, coarse_steps, spec, nets.teacher),
      project,
    )
    step_sizes = jnp.full(set_size, sizes[index])
    images = to_pixels(inputs, spec)
    return Samples(images, labels, extras={"step_size": step_sizes}), terms

  def init(key: Array, nets: Networks):
    del nets
    return {"key": key, "next_set": jnp.zeros((), jnp.int32)}

  def ask(state, nets: Networks, key: Array):
    # A set's randomness comes from its index, not from the round, so that the
    # images do not depend on how many sets go into one dispatch.
    del key
    indices = state["next_set"] + jnp.arange(sets_per_round)

    def make_sets(shared, indices: Array):
      nets, key = shared
      # One after the other, since a set has many candidates for its images.
      inputs, labels = jax.lax.map(
        lambda index: start_set(nets, key, index), indices
      )
      return jax.vmap(lambda *of_set: make_set(nets, key, *of_set))(
        indices, inputs, labels
      )

    samples, terms = devices.over_sets(make_sets)((nets, state["key"]), indices)
    samples = jax.tree.map(
      lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples
    )
    state = {**state, "next_set": state["next_set"] + sets_per_round}
    return state, samples, terms

  return Method(
    init=init,
    phases=(Phase(ask),),
    rounds=num_sets // sets_per_round,
    capacity=num_sets * set_size,
    steps=num_steps,
    objective=kd,
    hyper=hyper,
    required_access="white_box",
  )
