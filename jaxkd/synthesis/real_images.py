"""Methods whose images are real: only objective and teacher differ."""

import math

import jax

from jaxkd.config import checks
from jaxkd.data.labels import hard_labels
from jaxkd.types import (
  Array,
  Method,
  Networks,
  Objective,
  Phase,
  PreStudentStage,
  Samples,
)

SOURCES = ("train", "other")
LABELS = ("truth", "teacher")
ANSWERS = ("per_view", "once")


def real_image_method(
  objective: Objective,
  *,
  hyper: dict[str, float],
  expected: tuple[str, ...],
  num_images: int,
  fraction: float,
  source: str,
  labels: str,
  answers: str,
  queries: bool = True,
  pre_student_stage: PreStudentStage | None = None,
) -> Method:
  """A method of one round, in which the teacher answers real images.

  Args:
    objective: of the student.
    hyper: its numbers.
    expected: their names.
    num_images: that there are.
    fraction: of them that the method has; which ones depends on the seed.
    source: `train`, what the teacher was trained on, or `other` images, those
      of the set `config.images`, which have no labels that mean anything.
    labels: `truth`, or the likeliest class of the `teacher`, where images come
      without labels.
    answers: `per_view`, the teacher is shown every augmented view, or `once`:
      the unchanged image's answer stays with it.
    queries: whether the teacher is asked at all.
    pre_student_stage: see `jaxkd.types.Method`.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  checks.keys("hyper", hyper, expected)
  checks.share(**{"synthesis.fraction": fraction})
  checks.choice("synthesis.source", source, SOURCES)
  checks.choice("synthesis.labels", labels, LABELS)
  checks.choice("synthesis.answers", answers, ANSWERS)
  if source == "other" and labels == "truth":
    checks.choice("synthesis.labels (source=other)", labels, ("teacher",))
  count = max(math.floor(fraction * num_images), 1)

  def init(key: Array, nets: Networks) -> Array:
    return jax.random.permutation(key, len(nets.data.labels))[:count]

  def ask(rows: Array, nets: Networks, key: Array):
    del key
    samples = Samples(nets.data.images[rows], nets.data.labels[rows])
    if not queries:
      samples = samples._replace(targets=samples.labels)
    return rows, samples, {}

  def tell(rows: Array, nets: Networks, answered: Samples, key: Array):
    del nets, key
    if labels == "teacher":
      answered = answered._replace(labels=hard_labels(answered.targets))
    return rows, answered, {}

  return Method(
    init=init,
    phases=(Phase(ask, tell, queries=queries),),
    rounds=1,
    capacity=count,
    objective=objective,
    hyper=hyper,
    relabel_views=queries and answers == "per_view",
    required_access="probs" if queries else "label",
    real_images=source,
    pre_student_stage=pre_student_stage,
  )
