"""ZSDB3KD: soft labels from distances to the decision boundary.

Wang, "Zero-Shot Knowledge Distillation from a Decision-Based Black-Box Model",
ICML 2021. The teacher gives labels alone. In one round

1. noise is shown to the teacher and kept by the class that it is taken for;
2. some of it walks away from the boundary: each move finds the nearest place
   where the label changes (Sign-OPT) and goes the other way as far as the label
   stays; the images on the way are the samples;
3. a sample of class y gets logits 1 / d_t, and their sum for y itself, where
   d_t is its distance to class t: to the nearest noise of that class
   (`distances="sd"`), to the boundary on the way to such noise (`"bd"`), or to
   the boundary as Sign-OPT finds it from there (`"mbd"`).

The student lowers CE(s, y) + m KL(softmax(l / T) || softmax(s / T)), a mean
over the batch. The released code averages the first term over its batch of 512
and sums the second, which is m = 512; T is 20.

Costs. A walk costs, with W probes in a step, `noise` images, W times the steps
of its moves, and for `bd` and `mbd` W (K - 1) times the steps of a search for
each of its samples; no answer is asked for beyond that, so a run never exceeds
its budget. The released code spends 200,000 queries on a walk and up to
180,000 on the distances of a sample; IDEAL's authors speak of about 1,000.

Where the released code errs (a line search that moves its own starting point,
one random direction and one class for a whole batch, queries not counted,
slopes summed here and averaged there) this does not follow it.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp
import optax

from jaxkd import losses
from jaxkd.config import checks
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import MULTIPLIER, TEMPERATURE
from jaxkd.data.labels import hard_labels
from jaxkd.synthesis import boundary, class_distances, noise_pool, sign_opt
from jaxkd.synthesis.boundary import Search
from jaxkd.training import sample_store as stores
from jaxkd.types import (
  Array,
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
  Field(
    "noise",
    int,
    ...,
    "Images of noise that are asked about, for a walk.",
    COUNT,
  ),
  Field("moves", int, ..., "Moves of a walk, away from the boundary.", COUNT),
  Field(
    "longest_move",
    float,
    ...,
    "Largest length of a move, in pixel space; 0.5 is published.",
    POSITIVE,
  ),
  Field(
    "moves_per_sample",
    int,
    ...,
    "Moves after which a walk leaves a sample.",
    COUNT,
  ),
  Field(
    "refinements",
    int,
    ...,
    "Iterations of Sign-OPT in a search; 0: as many as the budget pays for.",
    NOT_NEGATIVE,
  ),
  Field(
    "probes", int, ..., "W, images that a search asks for in one step.", COUNT
  ),
  Field(
    "directions",
    int,
    ...,
    "Random turns that a slope is estimated from.",
    COUNT,
  ),
  Field(
    "smoothing",
    float,
    ...,
    "Length of such a turn, beta of Sign-OPT.",
    POSITIVE,
  ),
  Field(
    "tolerance", float, ..., "Fraction to which a distance is found.", POSITIVE
  ),
  Field(
    "distances",
    str,
    ...,
    "What a distance is: see jaxkd.methods.zsdb3kd.",
    ("sd", "bd", "mbd"),
  ),
)
HYPER = (TEMPERATURE, MULTIPLIER)

AT_ONCE = 16_384  # directions that are held at once, where it can be helped

Program = tuple[boundary.Step, ...]


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  num_walks: int,
  noise: int,
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
  """The method for images like `spec`.

  The budget decides what is left open: with `num_walks=0` there are as many
  walks of the given depth as it pays for, with `refinements=0` the given walks
  are as deep as it pays for.

  Args:
    spec: shape and classes of the data.
    hyper: `temperature` T and `multiplier` m of the student's objective.
    budget: images that the teacher may be asked for.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.multiple("directions", directions, "probes", probes)
  checks.multiple("moves", moves, "moves_per_sample", moves_per_sample)
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"zsdb3kd makes images; {spec.name} has inputs of shape {spec.shape}. "
      "Choose another dataset."
    )
  classes, others = spec.num_classes, spec.num_classes - 1
  samples = moves // moves_per_sample  # of one walk

  retreat = boundary.move_inward(longest_move)

  def programs(depth: int) -> tuple[Program, Program]:
    """The steps of a move, and of a search for the distance to a class."""
    refined = depth * sign_opt.refined(
      directions // probes, smoothing, tolerance
    )
    reach = math.sqrt(math.prod(spec.shape))  # the length of standard noise
    move = (*boundary.bisect_random(reach, tolerance), *refined, retreat)
    if distances == "sd":
      return move, ()
    aimed = boundary.bisect_candidates(tolerance)
    return move, aimed if distances == "bd" else aimed + refined

  def cost(depth: int) -> int:
    """What a walk and its samples cost."""
    move, search = programs(depth)
    return noise + probes * (moves * len(move) + samples * others * len(search))

  num_walks, refinements = _affordable(budget, num_walks, refinements, cost)
  move, search = programs(refinements)
  held = probes * samples * others  # directions, by a walk
  num_rounds = num_rounds or min(
    math.ceil(num_walks * held / AT_ONCE), num_walks
  )
  checks.at_most("num_rounds", num_rounds, num_walks, "walks")
  walks = num_walks // num_rounds  # of one round
  places = max(probes, math.ceil(2 * walks / classes))  # per class

  def aims(state) -> Search:
    labels = jnp.tile(state["walks"].labels, samples)
    images = state["samples"].reshape(-1, *spec.shape)
    return class_distances.targeted_searches(
      state["pool"], images, labels, probes
    )

  def init(key: Array, nets: Networks):
    del key, nets
    still = jnp.zeros((walks, *spec.shape))
    none = jnp.zeros(walks, jnp.int32)
    state = {
      "pool": noise_pool.empty(places, spec),
      "step": jnp.zeros((), jnp.int32),
      "samples": jnp.zeros((samples, walks, *spec.shape)),
      "walks": boundary.untargeted_search(still, none, probes),
    }
    shapes = jax.eval_shape(aims, state)
    searches = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return {**state, "searches": searches}

  def ask_noise(state, nets: Networks, key: Array):
    del nets
    images = noise_pool.noise(key, walks, spec)
    return state, stores.unlabelled(images), {}

  def start(state, nets: Networks, key: Array):
    """The walks begin at the newest noise, of all classes alike."""
    del nets, key
    images, labels = noise_pool.newest(state["pool"], walks)
    state = {
      **state,
      "walks": boundary.untargeted_search(images, labels, probes),
      "step": jnp.zeros((), jnp.int32),
    }
    return state, Samples(images, labels, labels), {}

  def aim(state, nets: Networks, key: Array):
    """A search from every sample to every other class."""
    del nets, key
    searches = aims(state)
    state = {**state, "searches": searches, "step": jnp.zeros((), jnp.int32)}
    return state, Samples(searches.images, searches.labels, searches.labels), {}

  walking = _probing(move * moves, "walks")

  def follow(state, nets: Networks, answered: Samples, key: Array):
    """Notes in every step where the walks are, over what it has noted since
    the last sample, so that what stays is where the moves have led.
    """
    sample = state["step"] // (len(move) * moves_per_sample)
    state, answered, terms = walking.tell(state, nets, answered, key)
    trail = state["samples"].at[sample].set(state["walks"].images)
    return {**state, "samples": trail}, answered, terms

  def finish(state, nets: Networks, key: Array):
    """The samples with what their distances say."""
    del nets, key
    searches = state["searches"]
    images, labels = searches.images[::others], searches.labels[::others]
    targets = class_distances.soft_labels(searches, others)
    return state, Samples(images, labels, targets), {}

  return Method(
    init=init,
    phases=(
      Phase(ask_noise, _keep_noise, repeats=noise, store=False),
      Phase(start, store=False, queries=False),
      walking._replace(tell=follow),
      Phase(aim, store=False, queries=False),
      *([_probing(search, "searches")] if search else []),
      Phase(finish, queries=False),
    ),
    rounds=num_rounds,
    capacity=num_rounds * walks * samples,
    objective=student_loss,
    hyper=hyper,
    required_access="label",
    float_pixels=True,
  )


def _keep_noise(state, nets: Networks, answered: Samples, key: Array):
  del nets, key
  labels = hard_labels(answered.targets)
  pool = noise_pool.insert(state["pool"], answered.images, labels)
  known = jnp.mean(pool.counts > 0)
  return {**state, "pool": pool}, answered, {"classes_known": known}


def _probing(program: Program, name: str) -> Phase:
  """The steps of the searches that the state calls `name`."""

  def ask(state, nets: Networks, key: Array):
    del nets
    searches, images = boundary.ask(program, state["step"], state[name], key)
    return {**state, name: searches}, stores.unlabelled(images), {}

  def tell(state, nets: Networks, answered: Samples, key: Array):
    del nets, key
    step, answers = state["step"], hard_labels(answered.targets)
    searches = boundary.tell(program, step, state[name], answers)
    state = {**state, name: searches, "step": step + 1}
    return state, answered, {f"{name}_found": searches.crossed.mean()}

  return Phase(ask, tell, repeats=len(program), store=False)


def student_loss(
  hyper: dict[str, Array],
  outputs: Outputs,
  samples: Samples,
  context: LossContext,
) -> Array:
  """The student's loss `[B]`: CE + m KL at the temperature, no t^2."""
  del context
  logits = outputs.logits
  error = optax.softmax_cross_entropy_with_integer_labels(
    logits, samples.labels
  )
  divergence = losses.scm_loss(
    logits, samples.targets[None], None, **hyper, alpha=1.0
  )
  return error + divergence


def _affordable(
  budget: int, num_walks: int, refinements: int, cost: Callable[[int], int]
) -> tuple[int, int]:
  """Walks and refinements, the one that is 0 as great as the budget pays for.

  Without a budget nobody counts, and both must be given.

  Raises:
    JaxkdError: if too much is left open, or the budget is too small.
  """
  if (num_walks, refinements, budget).count(0) > 1:
    raise JaxkdError(
      f"synthesis.num_walks={num_walks}, synthesis.refinements={refinements}, "
      f"queries.budget={budget}: at most one of them can be 0."
    )
  if not refinements:
    spare = budget // num_walks - cost(0)
    refinements = max(spare // (cost(1) - cost(0)), 1)
  each = cost(refinements)
  needed = max(num_walks, 1) * each
  if budget and needed > budget:
    raise JaxkdError(
      f"queries.budget={budget}: with synthesis.refinements={refinements} a "
      f"walk costs {each} queries, and {max(num_walks, 1)} of them {needed}; "
      "raise the budget, or lower synthesis.moves, directions or num_walks."
    )
  return num_walks or budget // each, refinements
