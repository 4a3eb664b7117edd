"""Skeptical Student: only an early exit is trained on the teacher's answers.

Kundu et al., "Analyzing the Confidentiality of Undistillable Teachers in
Knowledge Distillation", NeurIPS 2021. The student has an exit after each stage;
o_0 is the last, o_1 the deepest of the early ones. From epoch `kd_delay` + 1 on

    teacher's term at o_loc  +  .3 KL(o_0 / t || o_1 / t) + .7 CE(o_1) + CE(o_0)

and before that CE(o_0) alone. The teacher's term has no gradient above its
exit; the layers below are shared with the last exit, which is the student's
output.

The teacher's term is `kd`'s, or `htc`'s or `scm`'s, the combinations of Jandial
et al., ECCV 2022, table 1, which they do not spell out. In the released code
the gradient also flows into the target o_0 of the second term
(`self_target="through"`); its figure shows it stopped (`stopped`). That term
has no t^2, and the early exits of which no term speaks are not trained.
"""

import jax
import jax.numpy as jnp
import optax

from jaxkd.config import checks
from jaxkd.config.fields import NOT_NEGATIVE, Field, Interval
from jaxkd.config.synthesis_fields import ALPHA, MULTIPLIER, TEMPERATURE
from jaxkd.synthesis import real_images
from jaxkd.training import contrastive_sequence, objectives
from jaxkd.training.contrastive_sequence import (
  ContrastiveSequence,
  sequence_stage,
)
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  LossContext,
  Method,
  MethodInfo,
  Objective,
  Outputs,
  Samples,
)

INFO = MethodInfo(
  access="probs",
  source="real images",
  critic="",
  objective="KD, HTC or SCM at an early exit",
)

SELF_WEIGHT, LABEL_WEIGHT = 0.3, 0.7
TERMS = {
  "kd": (objectives.kd, ("temperature", "alpha")),
  "htc": (objectives.htc, ("temperature", "alpha", "multiplier")),
  "scm": (objectives.scm, ("temperature", "alpha", "multiplier")),
}

FIELDS = (
  real_images.FRACTION,
  real_images.LABELS,
  real_images.ANSWERS,
  Field("term", str, ..., "The teacher's term.", TERMS),
  Field(
    "loc",
    int,
    ...,
    "Exit with the teacher's term: 1 the deepest early one, 0 the last.",
    NOT_NEGATIVE,
  ),
  Field(
    "kd_delay",
    int,
    ...,
    "Epoch from 0 after which the teacher's term counts; -1: always.",
    Interval(-1),
  ),
  Field(
    "self_target",
    str,
    ...,
    "Whether the gradient flows through the last exit where it is a target.",
    ("through", "stopped"),
  ),
  *contrastive_sequence.FIELDS,
)
HYPER = (TEMPERATURE, ALPHA, MULTIPLIER._replace(default=None))


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_images: int,
  fraction: float,
  labels: str,
  answers: str,
  term: str,
  loc: int,
  kd_delay: int,
  self_target: str,
  length: int,
  member: str,
  include_teacher: bool,
  omega: float,
  temperature: float,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: of the inputs.
    hyper: `temperature` and `alpha`, for `htc` and `scm` also `multiplier`.
    num_images: real images that there are.
    The others are declared in `FIELDS`; those of the sequence are for
      `term=scm`, where its mean replaces the teacher.

  Raises:
    JaxkdError: if the sequence of `term=scm` has no member.
  """
  del spec
  teacher_term, expected = TERMS[term]
  checks.keys("hyper", hyper, expected)
  sequence = ContrastiveSequence(
    length, member, include_teacher, omega, temperature
  )
  return real_images.real_image_method(
    skeptical(teacher_term, loc, kd_delay, self_target),
    hyper=hyper,
    num_images=num_images,
    fraction=fraction,
    source="train",
    labels=labels,
    answers=answers,
    pre_student_stage=sequence_stage(sequence) if term == "scm" else None,
  )


def skeptical(
  teacher_term: Objective, loc: int, kd_delay: int, self_target: str
) -> Objective:
  """Returns the objective with this term of the teacher."""

  def objective(
    hyper: dict[str, Array],
    outputs: Outputs,
    samples: Samples,
    context: LossContext,
  ) -> Array:
    if len(outputs.heads) < max(loc, 1):
      raise JaxkdError(
        f"synthesis.loc={loc}: the student has {len(outputs.heads)} early "
        "exits; choose a student.model whose name starts with skeptical_."
      )
    exits = (outputs.logits, *outputs.heads)
    last, deepest = exits[0], exits[1]
    target = last if self_target == "through" else jax.lax.stop_gradient(last)
    teacher_loss = teacher_term(hyper, Outputs(exits[loc]), samples, context)
    temperature = hyper["temperature"]
    self_loss = SELF_WEIGHT * optax.losses.kl_divergence_with_log_targets(
      jax.nn.log_softmax(deepest / temperature),
      jax.nn.log_softmax(target / temperature),
    )
    self_loss += LABEL_WEIGHT * _cross_entropy(deepest, samples.labels)
    return _cross_entropy(last, samples.labels) + jnp.where(
      context.epoch > kd_delay, teacher_loss + self_loss, 0.0
    )

  return objective


def _cross_entropy(logits: Array, labels: Array) -> Array:
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
