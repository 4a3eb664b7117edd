"""The sequence of contrastive models, as an attacker trains it.

Jandial et al., ECCV 2022, equation 10.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxkd import models
from jaxkd.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, Field
from jaxkd.evaluation.predictions import predict_log_probs
from jaxkd.training.supervision import nasty_supervision
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
    "k, members of the sequence with the nasty teacher.",
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
    "Whether the nasty teacher counts in the mean.",
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
  """What `FIELDS` say of a sequence."""

  length: int
  member: str
  include_teacher: bool
  omega: float
  temperature: float


def prepare(sequence: ContrastiveSequence) -> PreStudentStage:
  """Puts the mean of the sequence in the teacher's place.

  With a white box that is a classifier, which answers every view. Behind an
  interface the stored answers stand for the first member, and the mean is
  taken of answers.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  if sequence.member:
    models.check("synthesis.member", sequence.member)
  if sequence.length == 1 and not sequence.include_teacher:
    raise JaxkdError(
      "synthesis.length=1 without the teacher leaves no member; choose 2 or "
      "more, or synthesis.include_teacher=True."
    )

  def prepared(
    trainer: Any, teacher: Classifier | None, samples: Samples
  ) -> tuple[Classifier | None, Samples]:
    if teacher is None:
      answers = _from_answers(trainer, sequence, samples)
      return None, samples._replace(targets=jnp.stack(answers).mean(0))
    return ensemble(_from_teacher(trainer, sequence, teacher)), samples

  what = f"a sequence of {sequence.length}, the teacher the first"
  return PreStudentStage(prepared, "teacher", what)


def _from_teacher(
  trainer: Any, sequence: ContrastiveSequence, teacher: Classifier
) -> list[Classifier]:
  members = [teacher]
  for index in range(2, sequence.length + 1):
    lesson = nasty_supervision(sequence)._replace(reference=members[-1])
    members.append(_train(trainer, sequence, index, lesson))
  return members[0 if sequence.include_teacher else 1 :]


def _from_answers(
  trainer: Any, sequence: ContrastiveSequence, samples: Samples
) -> list[Array]:
  answers = [samples.targets]
  for index in range(2, sequence.length + 1):
    lesson = nasty_supervision(sequence)._replace(targets=answers[-1])
    member = _train(trainer, sequence, index, lesson)
    answers.append(predict_log_probs(member, samples.images))
  return answers[0 if sequence.include_teacher else 1 :]


def _train(
  trainer: Any, sequence: ContrastiveSequence, index: int, lesson
) -> Classifier:
  return trainer.train(
    f"member{index}", f"member_{index}", lesson, sequence.member
  )


def ensemble(members: list[Classifier]) -> Classifier:
  """A classifier whose logits are the mean of the members' logits.

  >>> from jaxkd.types import Classifier, Outputs
  >>> one = Classifier(1.0, lambda v, x, **_: (Outputs(v * x), {}))
  >>> two = Classifier(2.0, lambda v, x, **_: (Outputs(v * x), {}))
  >>> ensemble([one, two])(jnp.array([[2.0, 4.0]])).logits
  Array([[3., 6.]], dtype=float32)
  """
  applies = tuple(member.apply for member in members)

  def apply(
    variables: tuple[Variables, ...], images: Array, *, train=False, rng=None
  ) -> tuple[Outputs, Variables]:
    del train, rng  # it is never trained
    logits = [
      one(own, images)[0].logits
      for one, own in zip(applies, variables, strict=True)
    ]
    return Outputs(jnp.stack(logits).mean(0)), {}

  variables = tuple(member.variables for member in members)
  return Classifier(variables, apply, f"ensemble of {len(members)}")
