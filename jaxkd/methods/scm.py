"""SCM: the teacher is replaced by the mean of a sequence of contrastive models.

Jandial et al., "Distilling the Undistillable: Learning from a Nasty Teacher",
ECCV 2022, equations 10 and 11. The first member is the nasty teacher; each
further one is a new network that the attacker trains to classify well and to
differ from the one before it, by the nasty teacher's own loss. The false peaks
of the members differ, so their mean is close to the answers of a normal
teacher. The student lowers

    alpha m KL(mean / t || student / t) + (1 - alpha) CE.

The paper leaves open whether logits or probabilities are averaged, and
whether the nasty teacher counts; logits, and yes unless `include_teacher` says
otherwise. k counts the nasty teacher: k = 3 means two trainings.
"""

from jaxkd.config.synthesis_fields import ALPHA, MULTIPLIER, TEMPERATURE
from jaxkd.synthesis import real_images
from jaxkd.training import contrastive_sequence
from jaxkd.training.contrastive_sequence import (
  ContrastiveSequence,
  sequence_stage,
)
from jaxkd.training.objectives import scm
from jaxkd.types import DataSpec, Method, MethodInfo

INFO = MethodInfo(
  access="probs",
  source="real images",
  critic="",
  objective="SCM",
)

objective = scm
FIELDS = (
  real_images.FRACTION,
  real_images.LABELS,
  real_images.ANSWERS,
  *contrastive_sequence.FIELDS,
)
HYPER = (TEMPERATURE, ALPHA, MULTIPLIER)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_images: int,
  fraction: float,
  labels: str,
  answers: str,
  length: int,
  member: str,
  include_teacher: bool,
  omega: float,
  temperature: float,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: of the inputs.
    hyper: `temperature`, `alpha` and `multiplier`.
    num_images: real images that there are.
    fraction, labels, answers: see `jaxkd.synthesis.real_images`.
    length, member, include_teacher, omega, temperature: see
      `jaxkd.training.contrastive_sequence`.

  Raises:
    JaxkdError: if the sequence has no member.
  """
  del spec
  sequence = ContrastiveSequence(
    length, member, include_teacher, omega, temperature
  )
  return real_images.real_image_method(
    objective,
    hyper=hyper,
    num_images=num_images,
    fraction=fraction,
    source="train",
    labels=labels,
    answers=answers,
    pre_student_stage=sequence_stage(sequence),
  )
