"""A sequence of contrastive models, which replaces a nasty teacher.

Jandial et al., "Distilling the Undistillable: Learning from a Nasty Teacher",
ECCV 2022, equation 10.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxkd import models
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.evaluation.predictions import predict_log_probs
from jaxkd.training.supervision import Supervision, nasty_supervision
from jaxkd.training.trained_network import Trainer
from jaxkd.types import (
  Array,
  Classifier,
  JaxkdError,
  Outputs,
  PreStudentStage,
  Samples,
  Variables,
)

FIELDS = (
  Field(
    "length",
    int,
    ...,
    "k, members of the sequence, the nasty teacher included.",
    COUNT,
  ),
  Field(
    "member",
    str,
    "",
    "Name of the network of those that are trained; '' is the teacher's.",
  ),
  Field(
    "include_teacher",
    bool,
    ...,
    "Whether the nasty teacher is part of the mean.",
  ),
  Field(
    "omega",
    float,
    ...,
    "Weight of the distance to the member before.",
    NOT_NEGATIVE,
  ),
  Field("temperature", float, ..., "Softens both networks in it.", POSITIVE),
)


class ContrastiveSequence(NamedTuple):
  """A sequence; `FIELDS` says what its attributes are."""

  length: int
  member: str
  include_teacher: bool
  omega: float
  temperature: float


def sequence_stage(sequence: ContrastiveSequence) -> PreStudentStage:
  """Returns the stage that replaces the teacher by the mean of the sequence.

  The mean of a white box and its sequence is a classifier, which labels every
  view. Of a black box there are only its stored answers; they are replaced by
  their mean with the answers of the sequence.

  Raises:
    JaxkdError: if there is no such network, or if the sequence has no member.
  """
  if sequence.member:
    models.check("synthesis.member", sequence.member)
  if sequence.length == 1 and not sequence.include_teacher:
    raise JaxkdError(
      "synthesis.length=1 without the teacher leaves no member; choose 2 or "
      "more, or synthesis.include_teacher=True."
    )

  def run(
    trainer: Trainer, teacher: Classifier | None, samples: Samples
  ) -> tuple[Classifier | None, Samples]:
    if teacher is None:
      answers = _from_answers(trainer, sequence, samples)
      return None, samples._replace(targets=jnp.stack(answers).mean(0))
    return mean_classifier(_from_teacher(trainer, sequence, teacher)), samples

  description = f"a sequence of {sequence.length}, the teacher the first"
  return PreStudentStage(run, "teacher", description)


def _from_teacher(
  trainer: Trainer, sequence: ContrastiveSequence, teacher: Classifier
) -> list[Classifier]:
  members = [teacher]
  for index in range(2, sequence.length + 1):
    supervision = nasty_supervision(sequence)._replace(reference=members[-1])
    members.append(_train(trainer, sequence, index, supervision))
  return members[0 if sequence.include_teacher else 1 :]


def _from_answers(
  trainer: Trainer, sequence: ContrastiveSequence, samples: Samples
) -> list[Array]:
  answers = [samples.targets]
  for index in range(2, sequence.length + 1):
    supervision = nasty_supervision(sequence)._replace(targets=answers[-1])
    member = _train(trainer, sequence, index, supervision)
    answers.append(predict_log_probs(member, samples.images))
  return answers[0 if sequence.include_teacher else 1 :]


def _train(
  trainer: Trainer,
  sequence: ContrastiveSequence,
  index: int,
  supervision: Supervision,
) -> Classifier:
  return trainer.train(
    f"member{index}", f"member_{index}", supervision, sequence.member
  )


def mean_classifier(members: list[Classifier]) -> Classifier:
  """Returns a classifier whose logits are the mean of the members' logits.

  >>> from jaxkd.types import Classifier, Outputs
  >>> one = Classifier(1.0, lambda v, x, **_: (Outputs(v * x), {}))
  >>> two = Classifier(2.0, lambda v, x, **_: (Outputs(v * x), {}))
  >>> mean_classifier([one, two])(jnp.array([[2.0, 4.0]])).logits
  Array([[3., 6.]], dtype=float32)
  """
  applies = tuple(member.apply for member in members)

  def apply(
    variables: tuple[Variables, ...], images: Array, *, train=False, rng=None
  ) -> tuple[Outputs, Variables]:
    del train, rng  # it is never trained
    logits = [
      member_apply(member_variables, images)[0].logits
      for member_apply, member_variables in zip(applies, variables, strict=True)
    ]
    return Outputs(jnp.stack(logits).mean(0)), {}

  variables = tuple(member.variables for member in members)
  return Classifier(variables, apply, f"ensemble of {len(members)}")
