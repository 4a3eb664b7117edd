"""Checks of a config, and the automatic values that are filled in."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxkd import defenses, methods, models, narrowing
from jaxkd.config import checks, fields
from jaxkd.config.fields import Block, Field
from jaxkd.config.run_fields import METHOD, OBJECTIVE, RUN
from jaxkd.data import augmentation
from jaxkd.synthesis import memory_estimate, time_estimate
from jaxkd.types import Classifier, DataSpec, JaxkdError, Method

# Fields whose values decide which other fields there are.
FIRST = (METHOD.name, OBJECTIVE.name, defenses.FIELD)
# Fields whose value 0 is replaced in `fit` by one that depends on the devices
# and the teacher, or on the number of classes.
AUTOMATIC = ("synthesis.sets_per_round", "synthesis.group_size")
GROUP_SIZE = 10  # as published, for 10 classes and for 100
# Images that one dispatch works on; few on the CPU, because SIGTERM waits for
# the running dispatch.
IMAGES_PER_ROUND = {"cpu": 1_000}
IMAGES_PER_ROUND_ACCELERATOR = 32_000
LARGE_PIXELS = 128  # side of images of which one copy in memory is enough


def resolve(config: ConfigDict) -> ConfigDict:
  """A checked copy with the defaults of all fields that are not given.

  Raises:
    JaxkdError: for a value that is not allowed.
  """
  block = declared(config)
  fields.check(block, config)
  config = ConfigDict(fields.filled(block, config))
  for role in ("teacher", "student"):
    for view in config[role].augment:
      checks.choice(f"{role}.augment", view, augmentation.AUGMENTATIONS)
  return config


def fit(
  config: ConfigDict,
  spec: DataSpec,
  teacher: Classifier | None,
  devices: int,
  backend: str,
) -> None:
  """Fills in the automatic values, for the data, the teacher and the devices.

  A group has as many images as published, or fewer where there are fewer
  classes or a set can't be divided so.

  Args:
    config: from `resolve`; it is changed.
    spec: of the inputs.
    teacher: as shapes or arrays; None behind an interface.
    devices: number of devices.
    backend: their kind, as `jax.default_backend()`.

  Raises:
    JaxkdError: if sets can't be split over the devices.
  """
  synthesis = config.synthesis
  if synthesis.get("group_size") == 0:
    most = min(GROUP_SIZE, spec.num_classes)
    divisors = [n for n in range(1, most + 1) if synthesis.set_size % n == 0]
    synthesis.group_size = divisors[-1]
  if synthesis.get("sets_per_round") == 0:
    images = images_per_round(
      teacher and models.with_compute_dtype(teacher, config.compute_dtype),
      spec,
      synthesis.num_steps,
      devices,
      backend,
      matched=synthesis.set_size * (synthesis.get("start") == "matched"),
    )
    synthesis.sets_per_round = sets_per_round(
      synthesis.num_sets, images // max(synthesis.set_size, 1), devices
    )


def student_start(
  config: ConfigDict,
  spec: DataSpec,
  teacher: Classifier | None,
  student: Classifier,
  method: Method,
) -> str:
  """Returns whose weights the student starts with, `random` or `teacher`.

  A method that trains students of its own in the rounds initialises them at
  random; without epochs one of them is the student.

  Raises:
    JaxkdError: if the teacher's are asked for and can't be had.
  """
  asked = config.student.start
  if asked == "random":
    return asked
  try:
    if teacher is None or config.teacher.access != "white_box":
      raise JaxkdError("its teacher is no white box")
    if method.round_student is not None and not config.student.epochs:
      raise JaxkdError(
        f"{config.method} trains students of its own, which start at random, "
        "and with student.epochs=0 one of them is the student"
      )
    images = jax.ShapeDtypeStruct((2, *spec.shape), jnp.float32)
    narrowing.make_plan(teacher, student, images)
  except JaxkdError as error:
    if asked == "auto":
      return "random"
    raise JaxkdError(
      f"student.start=teacher: the student {config.student.model!r} can't "
      f"start with the teacher's weights: {error}. Choose random, or auto."
    ) from error
  return "teacher"


def images_per_round(
  teacher: Classifier | None,
  spec: DataSpec,
  num_steps: int,
  devices: int,
  backend: str,
  *,
  matched: int = 0,
) -> int:
  """Returns the most images that one dispatch works on.

  They fit into the memory, and an accelerator of known rates takes at most ten
  seconds for them.

  Args:
    teacher: in the type that it computes in; None behind an interface.
    spec: of its inputs.
    num_steps: number of updates of an image.
    devices: number of devices.
    backend: their kind, as `jax.default_backend()`.
    matched: images of a set whose starts are chosen from candidates.
  """
  most = IMAGES_PER_ROUND.get(backend, IMAGES_PER_ROUND_ACCELERATOR)
  if teacher is None:
    return most
  in_time = time_estimate.images_per_dispatch(teacher, spec, num_steps)
  return memory_estimate.images_per_round(
    teacher, spec, devices, in_time or most, matched
  )


def declared(config: ConfigDict) -> Block:
  """Returns the declared fields of a run, of its method and defence as well.

  Raises:
    JaxkdError: if the config names no method, or no defence that there is.
  """
  names = RUN._replace(fields=(METHOD, OBJECTIVE))
  given = {f.name: config[f.name] for f in names.fields if f.name in config}
  fields.check(names, given)
  of_method = methods.declared(config["method"], config.get("objective", ""))
  of_defense = defenses.own_fields(_defense_name(config))
  run = _extended(RUN, ["teacher", "defense"], of_defense)
  return run._replace(fields=(*run.fields, *of_method))


def _defense_name(config: ConfigDict) -> str:
  """The name of the teacher's defence; empty where no text stands there."""
  block: object = config
  for name in defenses.FIELD.split("."):
    block = block.get(name, "") if isinstance(block, ConfigDict) else ""
  return block if isinstance(block, str) else ""


def _extended(
  block: Block, path: list[str], more: tuple[Field | Block, ...]
) -> Block:
  """A block in which the block at the path has more fields."""
  if not path:
    return block._replace(fields=(*block.fields, *more))
  parts = [
    _extended(part, path[1:], more) if part.name == path[0] else part
    for part in block.fields
  ]
  return block._replace(fields=tuple(parts))


def sets_per_round(num_sets: int, max_sets: int, devices: int) -> int:
  """The largest divisor of `num_sets` up to `max_sets` that splits evenly over
  the devices, or the smallest that does.

  Raises:
    JaxkdError: if `num_sets` is no multiple of the devices.

  >>> sets_per_round(num_sets=40, max_sets=6, devices=1)
  5
  >>> sets_per_round(num_sets=40, max_sets=6, devices=8)
  8
  """
  divisors = [
    count
    for count in range(devices, num_sets + 1, devices)
    if num_sets % count == 0
  ]
  if not divisors:
    raise JaxkdError(
      f"synthesis.num_sets={num_sets} can't be split over {devices} devices; "
      f"choose a multiple of {devices}."
    )
  return max((c for c in divisors if c <= max_sets), default=divisors[0])


def divided(config: ConfigDict) -> tuple[list[int], list[int]]:
  """Returns what the devices of a run divide among them: the sizes of batches
  that networks are trained on, and numbers of sets.

  It is nothing for large images, because every device has a copy of all.

  Args:
    config: of a run, as asked.
  """
  if config.get("image_size", 0) >= LARGE_PIXELS:
    return [], []
  batches = [
    block.batch_size
    for name, block in config.items()
    if isinstance(block, ConfigDict)
    and name != "synthesis"
    and "batch_size" in block
  ]
  synthesis = config.get("synthesis", {})
  sets = [synthesis.get(name) for name in ("num_sets", "sets_per_round")]
  return batches, [number for number in sets if number]
