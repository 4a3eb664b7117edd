"""Configs are made of blocks, with defaults for fields that are not given."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxkd.config.arguments import number
from jaxkd.config.fields import defaults, filled
from jaxkd.config.network_fields import OPTIMIZER
from jaxkd.config.run_fields import RUN
from jaxkd.config.teacher_fields import DEFENSE

# Networks of a smoke run, by image size; 0 is that of the data, 28.
SMALL = {32: ("lenet5", "lenet5_half"), 0: ("ideal_lenet", "ideal_lenet")}
SMALL_OF_ANY_SIZE = ("resnet8_8", "resnet8_8")
POINTS = (
  "two_moons", "noisy_moons", "blobs", "circles", "aniso", "checkerboard",
)  # fmt: skip
EMBEDDED = ("mnist_5k", *POINTS)


def optimizer(
  name: str, learning_rate: float, schedule: str = "constant", **others: object
) -> dict[str, Any]:
  """Returns a block that `jaxkd.training.optimisers.optimiser` reads."""
  return {
    **defaults(OPTIMIZER),
    "name": name,
    "learning_rate": learning_rate,
    "schedule": schedule,
    **others,
  }


def weight_decay(labels: int) -> float:
  """Returns the weight decay of a student of so many labels of a black box.

  Labels without probabilities say little each, so a student of few overfits:
  chosen on labels that it was not trained on (results in configs/README.md).
  """
  if labels <= 5_000:
    return 1e-2
  return 5e-3 if labels < 100_000 else 125 / labels


def defense(**fields: object) -> dict[str, Any]:
  """Returns the block that `jaxkd.defenses` reads."""
  return {**defaults(DEFENSE), **fields}


def experiment(
  method: str,
  args: dict[str, Any],
  *,
  teacher: dict[str, Any],
  student: dict[str, Any],
  synthesis: dict[str, Any],
  queries: dict[str, Any] | None = None,
  hyper: dict[str, float] | None = None,
  grid: dict[str, tuple[float, ...]] | None = None,
  image_size: int = 0,
) -> ConfigDict:
  """Returns a config, with the defaults of all fields that are not given.

  Args:
    method: name in `jaxkd.methods`.
    args: what `arguments` gave.
    teacher: `model`, `epochs`, `batch_size`, `optimizer` and others.
    student: likewise; with `round_optimizer` where the method trains it.
    synthesis: keyword arguments of the method's `build`.
    queries: what may be asked of a black box.
    hyper: traced numbers of the student's objective.
    grid: values of some of them, of which every combination is tried.
    image_size: pixels that images are resized to; 0 leaves them.
  """
  fields = {
    "method": method,
    "dataset": args["dataset"],
    "image_size": image_size,
    "teacher": {**teacher, **_named(args, "teacher")},
    "student": {
      "seeds": number({"seeds": 1, **args}, "seeds"),
      **student,
      **_named(args, "student"),
    },
    "synthesis": synthesis,
    "queries": queries or {},
    "hyper": {"temperature": 1.0, "alpha": 1.0} if hyper is None else hyper,
    "grid": grid or {},
  }
  config = block(**filled(RUN, fields))
  return smoke(config, args) if args["smoke"] else config


def _named(args: dict[str, Any], role: str) -> dict[str, str]:
  return {"model": args[role]} if role in args else {}


def smoke(config: ConfigDict, args: dict[str, Any]) -> ConfigDict:
  """Shrinks a config to seconds: embedded data, small networks, few steps.

  It shows that everything runs, not what a method can do. Networks that the
  argument string names are kept.
  """
  if config.dataset not in EMBEDDED:
    config.dataset = "mnist_5k"
  if config.dataset == "mnist_5k":
    small = SMALL.get(config.image_size, SMALL_OF_ANY_SIZE)
    for role, model in zip(("teacher", "student"), small, strict=True):
      config[role].model = args.get(role, model)
  for role in ("teacher", "student"):
    config[role].epochs = min(config[role].epochs, 2)
    config[role].augment = ()
  limits = {
    "num_sets": 4,
    "set_size": 100,
    "num_steps": 4,
    "coarse_steps": 2,
    "warmup_steps": 1,
  }
  for field, limit in limits.items():
    if field in config.synthesis:
      config.synthesis[field] = min(config.synthesis[field], limit)
  return config


def block(**fields: object) -> ConfigDict:
  """Returns a block of a config, in which blocks are copies."""
  return ConfigDict(copied(fields))


def copied(fields: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
  """Returns a dict of these fields in which no block stands twice.

  ConfigDict, its `to_dict` and `copy.deepcopy` keep one object that two fields
  hold as one, so an override of one field would change the other as well.
  """
  return {
    name: copied(value) if isinstance(value, (Mapping, ConfigDict)) else value
    for name, value in fields.items()
  }
