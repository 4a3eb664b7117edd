"""The plain student: real images and their labels, no teacher.

What every attack has to beat: a teacher is worth stealing from only if the
thief could not train as good a network alone (Jandial et al., ECCV 2022,
equation 3).
"""

from jaxkd.synthesis import real_images
from jaxkd.training.objectives import cross_entropy
from jaxkd.types import DataSpec, Method, MethodInfo

INFO = MethodInfo(
  access="label",
  source="real images",
  critic="",
  objective="cross entropy on labels",
)

objective = cross_entropy
FIELDS = (real_images.FRACTION,)
HYPER = ()


def build(
  spec: DataSpec, *, hyper: dict[str, float], num_images: int, fraction: float
) -> Method:
  """Builds the method for inputs like `spec`.

  Args:
    spec: of the inputs.
    hyper: empty.
    num_images: real images that there are.
    fraction: of them that the student has.
  """
  del spec
  return real_images.real_image_method(
    objective,
    hyper=hyper,
    num_images=num_images,
    fraction=fraction,
    source="train",
    labels="truth",
    answers="once",
    queries=False,
  )
