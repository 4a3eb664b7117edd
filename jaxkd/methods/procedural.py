"""Procedural images: a few lines of geometry, labelled by the teacher.

No image is optimised and none is real. `jaxkd.synthesis.procedural` draws
images (strokes, objects, smooth noise and others), and
`jaxkd.synthesis.candidate_images` selects those that the teacher is asked
about. The method is ours. Neighbours are Baradad et al., "Learning to See by
Looking at Noise", NeurIPS 2021, whose sources pre-train a network; Kataoka et
al., "Pre-training without Natural Images", ACCV 2020 (fractals); and Raikwar
and Mishra, "Discovering and Overcoming Limitations of Noise-engineered
Data-free Knowledge Distillation", NeurIPS 2022.

The student lowers the cross entropy of the teacher's labels; with probabilities
it lowers KL(teacher || student), both softened by a temperature. A white box
answers every augmented view of an image (`answers="per_view"`), at no cost.
"""

from jaxkd.config import checks
from jaxkd.synthesis import candidate_images, procedural, starts
from jaxkd.synthesis.selection_fields import SelectionConfig
from jaxkd.training import ensemble_labeling, sample_store
from jaxkd.training.ensemble_labeling import EnsembleConfig
from jaxkd.types import (
  Array,
  Classifier,
  DataSpec,
  JaxkdError,
  Method,
  MethodInfo,
  Networks,
  Samples,
)

INFO = MethodInfo(
  access="label",
  source="geometry, never optimised",
  critic="student, which selects",
  objective="cross entropy on labels, KL on probabilities",
)

FIELDS = (
  *candidate_images.FIELDS,
  starts.sources_block({}),
  *ensemble_labeling.FIELDS,
)
HYPER = candidate_images.HYPER


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  budget: int,
  num_rounds: int,
  batch_size: int,
  sources: dict[str, float],
  selection: dict[str, str | float | int],
  answers: str,
  ensemble: int,
  extra_images: int,
) -> Method:
  """Builds the method for images like `spec`.

  Args:
    spec: of the inputs.
    hyper: `temperature`, which counts where the teacher gives probabilities.
    budget: queries that may be spent.
    The others are declared in `FIELDS`.

  Raises:
    JaxkdError: if the budget does not pay for one round, if no source has a
      weight, or for an ensemble beside a teacher that answers every view.
  """
  starts.check_sources(sources)
  if ensemble and answers == "per_view":
    raise JaxkdError(
      f"synthesis.ensemble={ensemble}: with answers=per_view the teacher "
      "itself answers every view; set synthesis.ensemble=0."
    )

  def source(nets: Networks | None, key: Array, count: int) -> Array:
    del nets
    return procedural.draw_mixture(sources, key, count, spec.shape)

  def make_batch(student: Classifier, key: Array) -> Samples:
    del student
    return sample_store.unlabelled(source(None, key, batch_size))

  method = candidate_images.candidate_method(
    spec,
    source,
    rounds=checks.rounds_within(budget, batch_size, num_rounds),
    batch_size=batch_size,
    select=SelectionConfig(**selection),
    answers=answers,
    hyper=hyper,
  )
  stage = ensemble_labeling.ensemble_stage(
    EnsembleConfig(ensemble, extra_images), method.objective, hyper, make_batch
  )
  return method._replace(pre_student_stage=stage)
