"""Methods with real images, which differ in their objectives and teachers."""

import math

import jax

from jaxkd.config import checks
from jaxkd.config.fields import SHARE, Field
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

FRACTION = Field(
  "fraction",
  float,
  1.0,
  "Share of the real images that the student has; the seed says which.",
  SHARE,
)
SOURCE = Field(
  "source",
  str,
  "train",
  "Images that the teacher was trained on, or those of other_dataset.",
  ("train", "other"),
)
LABELS = Field(
  "labels",
  str,
  "truth",
  "Labels that came with the images, or the teacher's classes.",
  ("truth", "teacher"),
)
ANSWERS = Field(
  "answers",
  str,
  "per_view",
  "Whether the teacher answers every augmented view, or each image once.",
  ("per_view", "once"),
)


def real_image_method(
  objective: Objective,
  *,
  hyper: dict[str, float],
  num_images: int,
  fraction: float,
  source: str,
  labels: str,
  answers: str,
  queries: bool = True,
  pre_student_stage: PreStudentStage | None = None,
) -> Method:
  """Builds a method of one round, in which the teacher labels real images.

  Args:
    objective: of the student.
    hyper: its numbers.
    num_images: number of real images.
    fraction, source, labels, answers: see the fields above.
    queries: whether the teacher is asked.
    pre_student_stage: see `jaxkd.types.Method`.

  Raises:
    JaxkdError: if images of another set are to have true labels.
  """
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

  def tell(rows: Array, nets: Networks, samples: Samples, key: Array):
    del nets, key
    if labels == "teacher":
      samples = samples._replace(labels=hard_labels(samples.targets))
    return rows, samples, {}

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
