"""Configs: shared blocks, argument strings, and what is allowed.

A file in `configs/` has `get_config(argument)`; the argument is what stands
behind the colon in `--config=configs/cake.py:dataset=mnist,smoke`.
"""

import importlib.util
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxkd import checks
from jaxkd.types import JaxkdError

# May differ from the saved config when a run goes on.
CHANGEABLE = ("tensorboard",)
ARGUMENTS = ("dataset", "teacher", "student", "smoke")
# Images that one dispatch works on. CPU: a dispatch is as long as a stop takes.
IMAGES_PER_ROUND = {"cpu": 1_000}
IMAGES_PER_ROUND_ACCELERATOR = 32_000
EMBEDDED = ("mnist_5k", "two_moons")


def arguments(argument: str, **defaults: str) -> dict[str, Any]:
  """`dataset=mnist,student=vit4,smoke` as a dict, over the defaults.

  Raises:
    JaxkdError: for an argument that there is not, or one without its value.
  """
  found: dict[str, Any] = {"smoke": False, **defaults}
  for part in filter(None, (argument or "").split(",")):
    name, equals, value = part.strip().partition("=")
    checks.choice("config argument", name, ARGUMENTS)
    if name == "smoke":
      found["smoke"] = value.lower() not in ("0", "false", "no")
    elif not equals or not value:
      raise JaxkdError(f"The config argument {name} needs a value: {name}=...")
    else:
      found[name] = value
  return found


def optimizer(
  name: str, learning_rate: float, schedule: str = "constant", **others: Any
) -> dict[str, Any]:
  """The block that `jaxkd.optim.optimiser` reads."""
  return {
    "name": name,
    "learning_rate": learning_rate,
    "schedule": schedule,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "milestones": (),
    "factor": 0.1,
    **others,
  }


def experiment(
  method: str,
  found: dict[str, Any],
  *,
  teacher: dict[str, Any],
  student: dict[str, Any],
  synthesis: dict[str, Any],
  image_size: int = 0,
) -> ConfigDict:
  """A whole config.

  Args:
    method: name in `jaxkd.methods`.
    found: what `arguments` gave.
    teacher: `model`, `epochs`, `batch_size`, `optimizer`.
    student: likewise.
    synthesis: keyword arguments of the method's `build`.
    image_size: pixels that images are resized to; 0 leaves them.
  """
  config = ConfigDict(
    {
      "method": method,
      "dataset": found["dataset"],
      "image_size": image_size,
      "seed": 0,
      "teacher": {
        "checkpoint": "",
        "augment": (),
        **teacher,
        **_named(found, "teacher"),
      },
      "student": {
        "seeds": 1,
        "augment": (),
        "holdout": 0.01,
        **student,
        **_named(found, "student"),
      },
      "synthesis": synthesis,
      "hyper": {"temperature": 1.0, "alpha": 1.0},
      "tensorboard": False,
    }
  )
  return smoke(config, found) if found["smoke"] else config


def _named(found: dict[str, Any], role: str) -> dict[str, str]:
  return {"model": found[role]} if role in found else {}


def smoke(config: ConfigDict, found: dict[str, Any]) -> ConfigDict:
  """The config shrunk to seconds: embedded data, small networks, few steps.

  It shows that everything runs, not what a method can do. Networks that the
  argument string names are kept.
  """
  if config.dataset not in EMBEDDED:
    config.dataset, config.image_size = "mnist_5k", 32
  if config.dataset == "mnist_5k":
    config.teacher.model = found.get("teacher", "lenet5")
    config.student.model = found.get("student", "lenet5_half")
  config.teacher.epochs = config.student.epochs = 2
  config.teacher.augment = config.student.augment = ()
  limits = {"num_sets": 4, "set_size": 100, "num_steps": 4}
  for field, most in limits.items():
    if field in config.synthesis:
      config.synthesis[field] = min(config.synthesis[field], most)
  return config


def load_config(name: str) -> ConfigDict:
  """The config of a file, named as for `--config`: `configs/cake.py:smoke`.

  Raises:
    JaxkdError: if there is no such file.
  """
  path, _, argument = name.partition(":")
  if not Path(path).is_file():
    raise JaxkdError(f"There is no config file {path}.")
  found = importlib.util.spec_from_file_location("jaxkd_config", path)
  module = importlib.util.module_from_spec(found)
  found.loader.exec_module(module)
  return module.get_config(argument)


def sibling(config_file: str, name: str, argument: str) -> ConfigDict:
  """The config `name` from the folder of `config_file`, to vary it."""
  path = Path(config_file).with_name(f"{name}.py")
  return load_config(f"{path}:{argument}")


def block(**fields: Any) -> ConfigDict:
  """A block of a config."""
  return ConfigDict(fields)


def of(table: dict[str, Any], dataset: str) -> Any:
  """The row of a data set.

  Raises:
    JaxkdError: naming the data sets that the config has a recipe for.
  """
  checks.choice("dataset", dataset, table)
  return table[dataset]


def resolve(config: ConfigDict, devices: int, backend: str) -> ConfigDict:
  """A checked copy with every automatic value filled in.

  Raises:
    JaxkdError: naming the field, its value, and what is allowed.
  """
  config = ConfigDict(config.to_dict())
  for role in ("teacher", "student"):
    block = config[role]
    checks.positive(
      **{
        f"{role}.epochs": block.epochs,
        f"{role}.batch_size": block.batch_size,
        f"{role}.optimizer.learning_rate": block.optimizer.learning_rate,
      }
    )
  checks.positive(**{"student.seeds": config.student.seeds})
  if not 0 <= config.student.holdout < 1:
    raise JaxkdError(
      f"student.holdout={config.student.holdout}: choose a fraction from 0 to "
      "below 1."
    )
  synthesis = config.synthesis
  if synthesis.get("sets_per_round") == 0:
    images = IMAGES_PER_ROUND.get(backend, IMAGES_PER_ROUND_ACCELERATOR)
    synthesis.sets_per_round = sets_per_round(
      synthesis.num_sets, images // max(synthesis.set_size, 1), devices
    )
  return config


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
