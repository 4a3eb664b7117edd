"""ZSDB3KD: soft labels from distances to the decision boundary.

Wang, "Zero-Shot Knowledge Distillation from a Decision-Based Black-Box Model",
ICML 2021. The teacher returns labels only. In one round

1. the teacher labels noise, which is stored by its label;
2. walks start at some of it: each move searches the nearest point where the
   label changes (Sign-OPT) and goes in the opposite direction as far as the
   label stays the same; images of the walk are the samples;
3. a sample of class y gets logits 1 / d_t, and their sum for y itself, where
   d_t is its distance to class t: to the nearest noise of that class
   (`distances="sd"`), to the boundary on the line to such noise (`"bd"`), or to
   the boundary that Sign-OPT finds from there (`"mbd"`).

The student lowers CE(s, y) + m KL(softmax(l / T) || softmax(s / T)), a mean
over the batch. The released code averages the first term over its batch of 512
and sums the second, which is m = 512; T is 20.

Costs. A walk costs, with W probes in a step, `noise` images, W times the steps
of its moves, and for `bd` and `mbd` W (K - 1) times the steps of a search for
each of its samples; there are no other queries, so a run never exceeds its
budget. The released code spends 200,000 queries on a walk and up to
180,000 on the distances of a sample; IDEAL's authors speak of about 1,000.

It does not follow the released code where that is in error: a line search that
moves its own starting point, one random direction and one class for a whole
batch, queries that are not counted, gradients that are summed in one place and
averaged in another.
"""

import functools
import math

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import MULTIPLIER, TEMPERATURE
from jaxkd.synthesis import (
  boundary,
  boundary_walks,
  class_distances,
  noise_pool,
  sign_opt,
  starts,
)
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
  access="label",
  source="noise",
  critic="teacher, by its boundary",
  objective="cross entropy, KL to measured labels",
  terms=("distance",),
  image_steps=("longest_move",),
)

FIELDS = (
  Field(
    "num_rounds",
    int,
    0,
    "Rounds that the walks are spread over; 0: as few as the memory allows.",
    NOT_NEGATIVE,
  ),
  Field(
    "num_walks",
    int,
    0,
    "Walks in all; 0: as many as the budget pays for.",
    NOT_NEGATIVE,
  ),
  Field("noise", int, ..., "Noise images to ask about, for a walk.", COUNT),
  starts.START,
  Field("moves", int, ..., "Moves of a walk, away from the boundary.", COUNT),
  Field("longest_move", float, ..., "In pixel space; 0.5 in paper.", POSITIVE),
  Field("moves_per_sample", int, ..., "Moves from sample to sample.", COUNT),
  Field(
    "refinements",
    int,
    ...,
    "Iterations of Sign-OPT in a search; 0: as many as the budget pays for.",
    NOT_NEGATIVE,
  ),
  Field("probes", int, ..., "W, images that a step of a search asks.", COUNT),
  Field("directions", int, ..., "Rotations for one gradient.", COUNT),
  Field("smoothing", float, ..., "Length of a rotation, beta.", POSITIVE),
  Field("tolerance", float, ..., "Relative error of a distance.", POSITIVE),
  Field(
    "distances",
    str,
    ...,
    "How distances are measured: see jaxkd.methods.zsdb3kd.",
    ("sd", "bd", "mbd"),
  ),
)
HYPER = (TEMPERATURE, MULTIPLIER)

MAX_DIRECTIONS = 16_384  # that a round holds at once, if it has several walks

Program = tuple[boundary.Step, ...]


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  num_walks: int,
  noise: int,
  start: str,
  moves: int,
  longest_move: float,
  moves_per_sample: int,
  refinements: int,
  probes: int,
  directions: int,
  smoothing: float,
  tolerance: float,
  distances: str,
) -> Method:
  """Builds the method for images like `spec`.

  With `num_walks=0` there are as many walks as the budget pays for, with
  `refinements=0` as many refinements of the given walks.

  Args:
    spec: shape and classes of the data.
    hyper: `temperature` T and `multiplier` m of the student's objective.
    budget: images that the teacher may be asked for.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a field is no multiple of another one that it must be, if
      inputs are no images, if there are two classes, or if the budget is too
      small.
  """
  checks.multiple("directions", directions, "probes", probes)
  checks.multiple("moves", moves, "moves_per_sample", moves_per_sample)
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"zsdb3kd makes images; {spec.name} has inputs of shape {spec.shape}. "
      "Choose another dataset."
    )
  classes, others = spec.num_classes, spec.num_classes - 1
  if classes == 2:
    raise JaxkdError(
      "zsdb3kd makes labels of the distances to several other classes, and "
      f"{spec.name} has one other; choose another method."
    )
  samples = moves // moves_per_sample  # of one walk
  move_inward = boundary.move_inward(longest_move)

  def programs(depth: int) -> tuple[Program, Program]:
    """Returns the steps of a move, and of a search for a class's distance."""
    refinement = depth * sign_opt.refined(
      directions // probes, smoothing, tolerance
    )
    reach = math.sqrt(math.prod(spec.shape))  # the length of standard noise
    bisection = boundary.bisect_random(reach, tolerance)
    move = (*bisection, *refinement, move_inward)
    if distances == "sd":
      return move, ()
    bisection = boundary.bisect_candidates(tolerance)
    return move, bisection if distances == "bd" else bisection + refinement

  def cost(depth: int) -> int:
    """Returns the queries of a walk and its samples."""
    move, search = programs(depth)
    return noise + probes * (moves * len(move) + samples * others * len(search))

  num_walks, refinements = boundary_walks.affordable(
    budget, num_walks, refinements, cost
  )
  move, search = programs(refinements)
  checks.at_most("num_rounds", num_rounds, num_walks, "walks")
  if not num_rounds:
    most = max(MAX_DIRECTIONS // (probes * samples * others), 1)
    num_rounds = checks.equal_rounds(num_walks, most)
  walks = num_walks // num_rounds  # of one round
  places = max(probes, math.ceil(2 * walks / classes))  # per class

  def init(key: Array, nets: Networks):
    del key, nets
    images = jnp.zeros((walks, *spec.shape))
    labels = jnp.zeros(walks, jnp.int32)
    state = {
      "pool": noise_pool.empty(places, spec),
      "step": jnp.zeros((), jnp.int32),
      "samples": jnp.zeros((samples, walks, *spec.shape)),
      "walks": boundary.untargeted_search(images, labels, probes),
    }
    shapes = jax.eval_shape(
      functools.partial(class_distances.new_searches, probes=probes), state
    )
    searches = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return {**state, "searches": searches}

  search_phases = ()
  if search:
    search_phases = (boundary_walks.probing_phase(search, "searches"),)
  return Method(
    init=init,
    phases=(
      starts.with_share(
        boundary_walks.noise_phase(walks, noise, spec),
        float(start == "procedural"),
        spec,
      ),
      boundary_walks.start_phase(walks, probes),
      boundary_walks.walk_phase(move, moves, moves_per_sample),
      class_distances.start_phase(probes),
      *search_phases,
      class_distances.label_phase(others),
    ),
    rounds=num_rounds,
    capacity=num_rounds * walks * samples,
    objective=student_loss,
    hyper=hyper,
    required_access="label",
    float_pixels=True,
  )


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
) -> Array:
  """Computes CE + m KL at the temperature, without its square, `[B]`."""
  del context
  logits = outputs.logits
  error = optax.softmax_cross_entropy_with_integer_labels(
    logits, samples.labels
  )
  divergence = losses.scm_loss(
    logits, samples.targets[None], None, **hyper, alpha=1.0
  )
  return error + divergence
