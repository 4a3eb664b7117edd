"""DaST: data-free substitute training.

Zhou et al., "DaST: Data-free Substitute Training for Adversarial Attacks",
CVPR 2020. A generator with one branch per class makes a batch, the teacher
labels it, and student and generator are updated, in one round:

  student    lowers  d = CE(s, teacher's label) + beta MSE(softmax s, p),
  generator  lowers  exp(-d) + alpha CE(s, class of the branch),

the second through the student after its update, on the same batch; no gradient
passes through the teacher. MSE is the mean over the classes.
A round costs one query per image. beta = 0 is DaST-L, for a teacher that gives
labels only, beta > 0 DaST-P. Whenever the label loss of the generator is at
most 0.1, alpha is set to it.

For the generator's loss the student is in training mode: it uses the statistics
of the batch, and does not keep them. The released script for CIFAR-10 never
updates its generator; here it is updated.
"""

import flax
import jax
import jax.numpy as jnp
import optax

from jaxkd.config import checks
from jaxkd.config.fields import NOT_NEGATIVE, POSITIVE, Field
from jaxkd.config.synthesis_fields import (
  BATCH_SIZE,
  CAPACITY,
  LATENTS,
  PAID_ROUNDS,
  STEP_SIZE,
  WIDTH,
)
from jaxkd.data.labels import hard_labels
from jaxkd.models.generators.registry import create_generator
from jaxkd.training import objectives
from jaxkd.types import (
  Array,
  DataSpec,
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
  source="a generator, a branch per class",
  critic="student",
  objective="cross entropy, mean squares of probabilities",
  terms=("disagreement", "label"),
  image_steps=("step_size",),
)

FIELDS = (
  PAID_ROUNDS,
  BATCH_SIZE,
  LATENTS,
  WIDTH,
  Field(
    "alpha",
    float,
    ...,
    "Initial weight of the generator's label loss.",
    POSITIVE,
  ),
  STEP_SIZE,
  CAPACITY,
)
HYPER = (
  Field(
    "beta",
    float,
    ...,
    "Weight of the probabilities; 0: labels only.",
    NOT_NEGATIVE,
  ),
)

LOW_LABEL_LOSS = 0.1


@flax.struct.dataclass
class DastState:
  """The state of the method.

  Attributes:
    variables: of the generator.
    opt_state: of its optimiser.
    alpha: weight of its label loss.
    latents: `[B, Z]`, of the batch of this round.
    targets: the teacher's answers to that batch.
    answered: `[B]`, whether an image's answer is its own: one without a valid
      answer has become a copy of another image.
  """

  variables: Variables
  opt_state: optax.OptState
  alpha: Array
  latents: Array
  targets: Array
  answered: Array


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  batch_size: int,
  latents: int,
  width: int,
  alpha: float,
  step_size: float,
  capacity: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: shape and classes of the data.
    hyper: `beta`, weight of the probabilities; 0 learns from labels alone.
    budget: images that the teacher may be asked for.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if a batch is no multiple of the classes or does not fit into
      the store, or if the budget does not pay for one round.
  """
  checks.multiple("batch_size", batch_size, "classes", spec.num_classes)
  checks.at_most("batch_size", batch_size, capacity, "places in the store")
  beta = hyper["beta"]
  rounds = checks.rounds_within(budget, batch_size, num_rounds)
  generator = create_generator("dast", spec, latents=latents, width=width)
  tx = optax.adam(step_size, b1=0.5)
  rows = jnp.arange(batch_size)
  # The generator's rows are sorted by branch.
  labels = jnp.repeat(
    jnp.arange(spec.num_classes), batch_size // spec.num_classes
  )

  def init(key: Array, nets: Networks) -> DastState:
    del nets
    variables = generator.init(key)
    return DastState(
      variables,
      tx.init(variables["params"]),
      jnp.float32(alpha),
      jnp.zeros((batch_size, generator.latents)),
      jnp.zeros((batch_size, spec.num_classes))
      if beta
      else jnp.zeros(batch_size, jnp.int32),
      jnp.ones(batch_size, bool),
    )

  def ask(
    state: DastState, nets: Networks, key: Array
  ) -> tuple[DastState, Samples, LossTerms]:
    del nets
    latents = jax.random.normal(key, state.latents.shape)
    pre, changed = generator.apply(state.variables, latents, train=True)
    state = state.replace(
      variables={**state.variables, **changed}, latents=latents
    )
    images = generator.to_pixels(pre)
    return state, Samples(images, labels, extras={"row": rows}), {}

  def tell(state: DastState, nets: Networks, samples: Samples, key: Array):
    del nets, key
    targets = samples.targets
    if not beta:
      targets = hard_labels(targets)
    answered = samples.extras["row"] == rows
    samples = samples._replace(targets=targets, extras={})
    return state.replace(targets=targets, answered=answered), samples, {}

  def fit(
    state: DastState, nets: Networks, key: Array
  ) -> tuple[DastState, Samples, LossTerms]:
    """Updates the generator, after the student was updated."""
    params = state.variables["params"]

    def loss_of(params: Variables) -> tuple[Array, tuple[Array, LossTerms]]:
      variables = {**state.variables, "params": params}
      pre, _ = generator.apply(variables, state.latents, train=True)
      images = generator.to_pixels(pre)
      outputs, _ = nets.student.apply(
        nets.student.variables, images, train=True, rng=key
      )
      gaps = distance(outputs.logits, state.targets, beta)
      gap = jnp.mean(gaps, where=state.answered)
      error = optax.softmax_cross_entropy_with_integer_labels(
        outputs.logits, labels
      ).mean()
      terms = {"disagreement": gap, "label": error, "alpha": state.alpha}
      return jnp.exp(-gap) + state.alpha * error, (images, terms)

    grads, (images, terms) = jax.grad(loss_of, has_aux=True)(params)
    updates, opt_state = tx.update(grads, state.opt_state, params)
    error = terms["label"]
    state = state.replace(
      variables={
        **state.variables,
        "params": optax.apply_updates(params, updates),
      },
      opt_state=opt_state,
      alpha=jnp.where(error <= LOW_LABEL_LOSS, error, state.alpha),
    )
    return state, Samples(images, labels, state.targets), terms

  return Method(
    init=init,
    phases=(
      Phase(ask, tell, student_steps=1),
      Phase(fit, store=False, queries=False),
    ),
    rounds=rounds,
    capacity=min(capacity, rounds * batch_size),
    objective=student_loss,
    hyper=hyper if beta else {},  # no number of labels alone
    required_access="probs" if beta else "label",
  )


def distance(logits: Array, targets: Array, beta: float | Array = 0.0) -> Array:
  """Computes d, the distance of the student to the teacher's answers, `[B]`.

  Args:
    logits: the student's, `[B, K]`.
    targets: labels `[B]`, which leave out the second term, or
      log-probabilities `[B, K]`.
    beta: weight of the probabilities.
  """
  error = optax.softmax_cross_entropy_with_integer_labels(
    logits, hard_labels(targets)
  )
  if targets.ndim == 1:
    return error
  gap = jax.nn.softmax(logits) - jax.nn.softmax(targets)
  return error + beta * jnp.mean(gap**2, axis=-1)


student_loss = objectives.from_distance(distance)
