"""Checks of a config, and the automatic values that are filled in."""

import jax
from ml_collections import ConfigDict

from jaxkd import data, models
from jaxkd.config import checks
from jaxkd.data import augmentation
from jaxkd.synthesis import memory_estimate
from jaxkd.training import optimisers
from jaxkd.types import JaxkdError

COMPUTE_DTYPES = ("float32", "bfloat16")
BATCH_NORMS = ("per_device", "synchronized")
# Images that one dispatch works on; few on the CPU, because SIGTERM waits for
# the running dispatch.
IMAGES_PER_ROUND = {"cpu": 1_000}
IMAGES_PER_ROUND_ACCELERATOR = 32_000


def resolve(config: ConfigDict, devices: int, backend: str) -> ConfigDict:
  """A checked copy with every automatic value filled in.

  Raises:
    JaxkdError: for a value that is not allowed.
  """
  config = ConfigDict(config.to_dict())
  for role in ("teacher", "student"):
    block = config[role]
    checks.positive(
      **{
        f"{role}.batch_size": block.batch_size,
        f"{role}.optimizer.learning_rate": block.optimizer.learning_rate,
      }
    )
    _check_names(role, block)
  checks.positive(
    **{
      "teacher.epochs": config.teacher.epochs,
      "student.seeds": config.student.seeds,
      "queries.max_in_flight": config.queries.max_in_flight,
      "queries.images_per_request": config.queries.images_per_request,
      "queries.bytes_per_request": config.queries.bytes_per_request,
      "queries.deadline_s": config.queries.deadline_s,
    }
  )
  if config.student.epochs < 0:
    raise JaxkdError(
      f"student.epochs={config.student.epochs}: choose 0 or more."
    )
  for role in ("teacher", "student"):
    if not 0 <= config[role].holdout < 1:
      raise JaxkdError(
        f"{role}.holdout={config[role].holdout}: choose a fraction from 0 to "
        "below 1."
      )
    checks.choice(f"{role}.batch_norm", config[role].batch_norm, BATCH_NORMS)
  checks.not_negative(**{"profile.steps": config.profile.steps})
  checks.choice("compute_dtype", config.compute_dtype, COMPUTE_DTYPES)
  synthesis = config.synthesis
  if synthesis.get("sets_per_round") == 0:
    images = IMAGES_PER_ROUND.get(backend) or _images_per_round(config, devices)
    synthesis.sets_per_round = sets_per_round(
      synthesis.num_sets, images // max(synthesis.set_size, 1), devices
    )
  return config


def _check_names(role: str, block: ConfigDict) -> None:
  for field in ("optimizer", "round_optimizer"):
    if field in block:
      name = f"{role}.{field}"
      checks.choice(f"{name}.name", block[field].name, optimisers.OPTIMISERS)
      checks.choice(
        f"{name}.schedule", block[field].schedule, optimisers.SCHEDULES
      )
  for view in block.augment:
    checks.choice(f"{role}.augment", view, augmentation.AUGMENTATIONS)


def _images_per_round(config: ConfigDict, devices: int) -> int:
  """Images in a round on an accelerator: as many as fit, as far as known."""
  if config.dataset not in data.DATASETS:
    return IMAGES_PER_ROUND_ACCELERATOR
  spec = data.spec(config.dataset, config.image_size)
  teacher = jax.eval_shape(
    lambda key: models.init(config.teacher.model, key, spec), jax.random.key(0)
  )
  return memory_estimate.images_per_round(
    teacher, spec, devices, IMAGES_PER_ROUND_ACCELERATOR
  )


def sets_per_round(num_sets: int, most: int, devices: int) -> int:
  """The largest divisor of `num_sets` up to `most` that splits evenly over the
  devices, or the smallest that does.

  >>> sets_per_round(num_sets=40, most=6, devices=1)
  5
  >>> sets_per_round(num_sets=40, most=6, devices=8)
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
  return max((c for c in divisors if c <= most), default=divisors[0])
