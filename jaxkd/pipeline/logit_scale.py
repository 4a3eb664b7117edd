"""The scale of the teacher's logits: a run brings it to what its method needs,
and gives the student the one that the teacher had.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxkd import models
from jaxkd.evaluation import teacher_scale
from jaxkd.evaluation.teacher_scale import TeacherScale
from jaxkd.models import last_layer
from jaxkd.pipeline.setup import Setup
from jaxkd.synthesis import starts
from jaxkd.teachers.access import TeacherHandle
from jaxkd.types import Classifier, JaxkdError, Samples


def visible_teacher(
  setup: Setup, published: Classifier | None
) -> tuple[Classifier | None, TeacherScale | None]:
  """The network that the run may ask, and the scale that it had.

  With `teacher.logit_std` its logits have this standard deviation. So the
  weights of a method and the student's targets do not depend on the scale of
  the logits, which may be ten times larger in one network than in another that
  answers alike. Without it, and where the network is no white box, all stays
  as it is and nothing is measured.

  Raises:
    JaxkdError: if all logits are equal, or some are not finite.
  """
  block = setup.config.teacher
  logit_std = block.logit_std if block.access == "white_box" else 0.0
  if not logit_std:
    return published, None
  images = starts.probe_images(setup.spec)
  scale = teacher_scale.measure(published, images)
  scale = TeacherScale(*(float(value) for value in scale))
  if not 0 < scale.logit_std < math.inf:
    raise JaxkdError(
      f"The teacher {published.name!r} answers procedural images with logits "
      f"whose standard deviation is {scale.logit_std:g}; check that its "
      "weights were loaded and are finite, and the mean and std of its "
      "normaliser."
    )
  return models.with_logit_scale(published, logit_std / scale.logit_std), scale


class Unscaled(NamedTuple):
  """What is evaluated, with logits of the scale that the teacher had.

  Attributes:
    students: trained ones.
    teacher: what they are compared with.
    held_out: samples with its answers.
    warnings: why nothing was scaled back, where that could not be done.
  """

  students: list[Classifier]
  teacher: TeacherHandle
  held_out: Samples
  warnings: list[str]


def give_back(
  setup: Setup,
  students: list[Classifier],
  teacher: TeacherHandle,
  published: Classifier | None,
  scale: TeacherScale | None,
  held_out: Samples,
) -> Unscaled:
  """Students whose logits have the scale of the teacher that was published.

  Their last layers are scaled, so the predicted classes stay, and their
  probabilities are like the teacher's. A student without such a layer keeps
  the scale of `visible_teacher`.

  Args:
    setup: of the run.
    students: trained on the answers of `visible_teacher`.
    teacher: with the network of `visible_teacher`.
    published: the teacher as it was.
    scale: that it had; None if it was not changed.
    held_out: samples with the answers of `visible_teacher`.
  """
  labels_alone = jnp.issubdtype(held_out.targets.dtype, jnp.integer)
  if scale is None or labels_alone:
    return Unscaled(students, teacher, held_out, [])
  factor = scale.logit_std / setup.config.teacher.logit_std
  images = starts.probe_images(setup.spec)[:8]
  scaled = [
    last_layer.with_scaled_logits(student, factor, images)
    for student in students
  ]
  if None in scaled:
    line = (
      "the student's probabilities are those of the teacher's logits divided "
      f"by {factor:.3g}: no last layer was found whose weights could be scaled"
    )
    return Unscaled(students, teacher, held_out, [line])
  return Unscaled(
    scaled,
    teacher._replace(classifier=published),
    # Log-probabilities up to a constant, as before.
    held_out._replace(targets=factor * held_out.targets),
    [],
  )
