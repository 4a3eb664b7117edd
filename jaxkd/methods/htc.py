"""HTC: high-temperature composition of labels and a nasty teacher's answers.

Jandial et al., "Distilling the Undistillable: Learning from a Nasty Teacher",
ECCV 2022, equations 7 to 9:

    (1 - alpha) CE + alpha m KL(teacher / t || student),

t high, the student not softened. A high temperature flattens the false peaks of
a nasty teacher and keeps the order of the classes. At t -> infinity it is label
smoothing, which is therefore its control. With `labels="teacher"` it needs no
labels (table 5), and `dafl` with
`objective="htc"` no data (table 4).
"""

from jaxkd.config.synthesis_fields import ALPHA, MULTIPLIER, TEMPERATURE
from jaxkd.synthesis import real_images
from jaxkd.training.objectives import htc
from jaxkd.types import DataSpec, Method, MethodInfo

INFO = MethodInfo(
  access="probs",
  source="real images",
  critic="",
  objective="HTC",
)

objective = htc
FIELDS = (
  real_images.FRACTION,
  real_images.SOURCE,
  real_images.LABELS,
  real_images.ANSWERS,
)
HYPER = (TEMPERATURE, ALPHA, MULTIPLIER)


def build(
  spec: DataSpec,
  *,
  hyper: dict[str, float],
  num_images: int,
  fraction: float,
  source: str,
  labels: str,
  answers: str,
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: of the inputs.
    hyper: `temperature`, `alpha` and `multiplier`.
    num_images: real images that there are.
    fraction, source, labels, answers: see
      `jaxkd.synthesis.real_images`.

  Raises:
    JaxkdError: if images of another set are to have true labels.
  """
  del spec
  return real_images.real_image_method(
    objective,
    hyper=hyper,
    num_images=num_images,
    fraction=fraction,
    source=source,
    labels=labels,
    answers=answers,
  )
