"""The method of a run, checked against the teacher and the student."""

from ml_collections import ConfigDict

from jaxkd import defenses, methods
from jaxkd.config import ACCESS_LEVELS
from jaxkd.config.teacher_fields import behind_interface
from jaxkd.data import augmentation, other_images
from jaxkd.pipeline import grid
from jaxkd.synthesis import label_only
from jaxkd.teachers import access
from jaxkd.types import (
  DataSpec,
  JaxkdError,
  Method,
)


def build_method(
  config: ConfigDict, spec: DataSpec, *, reserved: int, num_images: int
) -> Method:
  """The method of a resolved config.

  Args:
    config: resolved.
    spec: description of the inputs.
    reserved: queries of the budget that are not for the method.
    num_images: images of the data set to train on.

  Raises:
    JaxkdError: if the teacher gives less than the method needs, or a field
      does not suit the method.
  """
  defenses.check(config.teacher)
  access.check(config, spec)
  info = methods.info(config.method)
  label_only.check(config, info)
  if config.other_dataset:
    num_images = other_images.count_images(config.other_dataset)
  budget = max(config.queries.budget - reserved, 0)
  method = methods.build(
    config.method,
    spec,
    hyper=config.hyper.to_dict(),
    synthesis=label_only.synthesis_of(config, info),
    objective=config.objective,
    budget=budget,
    num_images=num_images,
  )
  method = label_only.adapt(config, info, spec, method, budget)
  remote = behind_interface(config.teacher)
  check_access(method, config.teacher.access, remote)
  check_student(config, method)
  grid.check(config, method)
  return method


def check_student(config: ConfigDict, method: Method) -> None:
  """Checks that the student's fields suit the method.

  Raises:
    JaxkdError: for a field that contradicts what the method does.
  """
  block, name = config.student, config.method
  learns = trains_student(method)
  if has_student(method) and block.seeds > 1 and not block.epochs:
    raise JaxkdError(
      f"{name} trains the student while it makes images, so each of "
      f"student.seeds={block.seeds} would make, and pay for, its own; set "
      "student.seeds=1 and run again with another seed, or student.epochs "
      "above 0, in which all learn from the images of one."
    )
  if config.queries.eval_at and not has_student(method):
    raise JaxkdError(
      f"queries.eval_at: {name} does not train the student until its images "
      "are made, so there is nothing to evaluate in between; set "
      "queries.eval_at=()."
    )
  if learns and "round_optimizer" not in block:
    raise JaxkdError(
      f"{name} trains the student while it makes images; say how in "
      "student.round_optimizer."
    )
  if not has_student(method) and not block.epochs:
    raise JaxkdError(
      f"student.epochs=0: {name} leaves all training to the epochs; choose 1 "
      "or more."
    )
  if method.pre_student_stage is not None and not block.epochs:
    raise JaxkdError(
      f"student.epochs=0: {name} trains "
      f"{method.pre_student_stage.description} for the epochs; choose 1 or "
      "more, or synthesis.ensemble=0 where there is one."
    )
  if (
    block.epochs
    and method.relabel_views
    and config.teacher.access != "white_box"
  ):
    raise JaxkdError(
      f"student.epochs={block.epochs}: {name} would have the teacher answer "
      f"every view in these epochs, and teacher.access={config.teacher.access} "
      "is no white box; have each image answered once (synthesis.answers or "
      "synthesis.mode), or set student.epochs=0."
    )
  mixing = set(augmentation.MIXING) & set(block.augment)
  if mixing and not method.relabel_views:
    raise JaxkdError(
      f"student.augment={tuple(block.augment)}: {', '.join(sorted(mixing))} "
      "shows two images at once, and the stored answer is that of one; leave "
      "it out, or have a white box answer every view."
    )
  if method.real_images in ("other", "photo") and not config.other_dataset:
    raise JaxkdError(
      "other_dataset is empty; it names the data set of the real images, or a "
      "folder of them, for instance --config.other_dataset=fashion_mnist."
    )


def has_student(method: Method) -> bool:
  """Whether there is a trained student before the epochs."""
  return trains_student(method) or method.round_student is not None


def trains_student(method: Method) -> bool:
  """Whether the method's phases make updates of the student."""
  return any(phase.student_steps for phase in method.phases)


def check_access(method: Method, access: str, eight_bit: bool) -> None:
  """Refuses a teacher that gives less than the method needs.

  Raises:
    JaxkdError: naming what is needed and what is given.
  """
  needed = method.required_access
  if ACCESS_LEVELS.index(access) < ACCESS_LEVELS.index(needed):
    raise JaxkdError(
      f"teacher.access={access}: the method needs {needed} access to the "
      f"teacher, which gives {access}; choose one that needs no more, such as "
      "procedural with synthesis.selection.critic=students and "
      "synthesis.answers=once."
    )
  if method.float_pixels and eight_bit:
    raise JaxkdError(
      "The method compares answers to almost equal images, whose differences "
      "are lost on the way to a teacher that takes 8-bit images; choose "
      "another method, such as ideal, or a teacher in this process."
    )
