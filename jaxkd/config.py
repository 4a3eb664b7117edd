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
CHANGEABLE = (
  "tensorboard",
  "teacher.authorization",
  "teacher.token_env",
  "queries.max_in_flight",
  "queries.images_per_request",
  "queries.bytes_per_request",
  "queries.deadline_s",
)
# A teacher of our own is loaded or trained; with a `url` it is a service, and
# with `replay` a ledger of one answers again. `authorization`: who allowed it.
TEACHER = {
  "checkpoint": "",
  "augment": (),
  "access": "white_box",
  "top_k": 1,
  "url": "",
  "protocol": "v2",
  "model_name": "",
  "token_env": "",
  "authorization": "",
  "template": {
    "body": "raw",
    "content_type": "image/png",
    "datatype": "FP32",
    "response": "label",
    "labels": (),
  },
  "replay": "",
}
# Counts are images. `evaluate`: whether a paid teacher may be asked about test
# images, out of the same budget; `marks`: at which shares of the budget the
# student is judged in between.
QUERIES = {
  "budget": 0,
  "price_per_1000": 0.0,
  "max_in_flight": 4,
  "images_per_request": 64,
  "bytes_per_request": 1_000_000,
  "deadline_s": 120.0,
  "evaluate": False,
  "marks": (),
}
ARGUMENTS = ("dataset", "teacher", "student", "smoke")
# Images that one dispatch works on. CPU: a dispatch is as long as a stop takes.
IMAGES_PER_ROUND = {"cpu": 1_000}
IMAGES_PER_ROUND_ACCELERATOR = 32_000
# Networks of a smoke run, by image size; 0 is that of the data, 28.
SMALL = {32: ("lenet5", "lenet5_half"), 0: ("ideal_lenet", "ideal_lenet")}
EMBEDDED = ("mnist_5k", "two_moons")


def arguments(argument: str, **defaults: str | bool) -> dict[str, Any]:
  """`dataset=mnist,student=vit4,smoke` as a dict, over the defaults; what is
  true or false by default needs no value.

  Raises:
    JaxkdError: for an argument that there is not, or one without its value.
  """
  found: dict[str, Any] = {"smoke": False, **defaults}
  allowed = {*ARGUMENTS, *defaults}
  for part in filter(None, (argument or "").split(",")):
    name, equals, value = part.strip().partition("=")
    checks.choice("config argument", name, sorted(allowed))
    if isinstance(found.get(name), bool):
      found[name] = value.lower() not in ("0", "false", "no")
    elif not equals or not value:
      raise JaxkdError(f"The config argument {name} needs a value: {name}=...")
    else:
      found[name] = value
  return found


def without(argument: str, name: str) -> str:
  """An argument string without the part `name=...`.

  >>> without("attack=dfme,smoke", "attack")
  'smoke'
  """
  parts = (argument or "").split(",")
  return ",".join(p for p in parts if not p.strip().startswith(f"{name}="))


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
  queries: dict[str, Any] | None = None,
  hyper: dict[str, float] | None = None,
  image_size: int = 0,
) -> ConfigDict:
  """A whole config.

  Args:
    method: name in `jaxkd.methods`.
    found: what `arguments` gave.
    teacher: `model`, `epochs`, `batch_size`, `optimizer`; see `TEACHER`.
    student: likewise; with `round_optimizer` where the method trains it.
    synthesis: keyword arguments of the method's `build`.
    queries: what may be asked of a black box, see `QUERIES`.
    hyper: traced numbers of the student's objective.
    image_size: pixels that images are resized to; 0 leaves them.
  """
  config = ConfigDict(
    {
      "method": method,
      "dataset": found["dataset"],
      "image_size": image_size,
      "seed": 0,
      "images": "",
      "teacher": {
        **TEACHER,
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
      "queries": {**QUERIES, **(queries or {})},
      "hyper": {"temperature": 1.0, "alpha": 1.0} if hyper is None else hyper,
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
    config.dataset = "mnist_5k"
  if config.dataset == "mnist_5k":
    small = SMALL.get(config.image_size, SMALL[0])
    for role, model in zip(("teacher", "student"), small, strict=True):
      config[role].model = found.get(role, model)
  for role in ("teacher", "student"):
    config[role].epochs = min(config[role].epochs, 2)
    config[role].augment = ()
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
        f"{role}.batch_size": block.batch_size,
        f"{role}.optimizer.learning_rate": block.optimizer.learning_rate,
      }
    )
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
