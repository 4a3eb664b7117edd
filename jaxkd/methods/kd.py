"""Knowledge distillation on real images.

Hinton, Vinyals and Dean, 2015, with temperature and weight as the Nasty Teacher
code has them: alpha t^2 KL(teacher || student), both softened by t, and
(1 - alpha) CE. Of a nasty teacher it is the attack that the defence was made
for; with images of another set (source=other) it is the out-of-domain control
of IDEAL, table 8.
"""

from jaxkd.config.synthesis_fields import ALPHA, TEMPERATURE
from jaxkd.synthesis import real_images
from jaxkd.training.objectives import kd
from jaxkd.types import DataSpec, Method, MethodInfo

INFO = MethodInfo(
  access="probs",
  source="real images",
  critic="",
  objective="KD",
)

objective = kd
FIELDS = (
  real_images.FRACTION,
  real_images.SOURCE,
  real_images.LABELS,
  real_images.ANSWERS,
)
HYPER = (TEMPERATURE, ALPHA)


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
    hyper: `temperature` and `alpha`.
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
