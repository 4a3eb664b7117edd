"""The plain student: real images and their labels, no teacher.

What every attack has to beat: a teacher is worth stealing from only if the
thief could not train as good a network alone (Jandial et al., ECCV 2022,
equation 3).
"""

from jaxkd.objectives import truth
from jaxkd.synthesis.real import on_real_images
from jaxkd.types import DataSpec, Method, Traits

TRAITS = Traits(
  access="label",
  source="real images",
  critic="",
  objective="cross entropy on labels",
  terms=(),
)

objective = truth
HYPER = ()


def build(
  spec: DataSpec, *, hyper: dict[str, float], num_images: int, fraction: float
) -> Method:
  """The method for inputs like `spec`.

  Args:
    spec: of the inputs.
    hyper: empty.
    num_images: real images that there are.
    fraction: of them that the student has.

  Raises:
    JaxkdError: naming the field and what it may be.
  """
  del spec
  return on_real_images(
    objective,
    hyper=hyper,
    expected=HYPER,
    num_images=num_images,
    fraction=fraction,
    source="train",
    labels="truth",
    answers="once",
    queries=False,
  )
