"""The blocks that configs are made of, with everything that a user may set."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

# A teacher of our own is loaded or trained; `network` (module:function) brings
# any other; with a `url` it is a service, and with `replay` a ledger of one
# answers again. `authorization`: who allowed it.
# `holdout`: share of its training images that judge its epochs, if one is to be
# chosen. `batch_norm`: statistics `per_device`, averaged afterwards, or
# `synchronized`, those of the whole batch; one device knows no difference.
TEACHER = {
  "checkpoint": "",
  "network": "",
  "holdout": 0.0,
  "augment": (),
  "batch_norm": "per_device",
  "access": "white_box",
  "top_k": 1,
  "url": "",
  "protocol": "v2",
  "model_name": "",
  "token_env": "",
  "authorization": "",
  "template": {
    "body": "raw",
    "header": "Authorization",  # any other carries the token alone
    "content_type": "image/png",
    "datatype": "FP32",
    "response": "label",
    "labels": (),
  },
  "replay": "",
}
# Omega and temperature are CIFAR-10's. `index`: which member the `scm` defence
# publishes. `target_accuracy`: where `nasty_early_stop` stops.
DEFENSE = {
  "name": "",
  "omega": 0.04,
  "temperature": 4.0,
  "index": 2,
  "target_accuracy": 0.0,
}
# How a white-box method does with labels; all but the name are of `zeroth`.
ADAPTATION = {
  "name": "",
  "generator": "dfme",
  "num_directions": 1,
  "radius": 1e-3,
  "student_steps": 5,
  "step_size": 1e-4,
  "label_floor": 0.01,
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
# Networks of a smoke run, by image size; 0 is that of the data, 28.
SMALL = {32: ("lenet5", "lenet5_half"), 0: ("ideal_lenet", "ideal_lenet")}
EMBEDDED = ("mnist_5k", "two_moons")


def optimizer(
  name: str, learning_rate: float, schedule: str = "constant", **others: Any
) -> dict[str, Any]:
  """The block that `jaxkd.training.optimisers.optimiser` reads."""
  return {
    "name": name,
    "learning_rate": learning_rate,
    "schedule": schedule,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "milestones": (),
    "factor": 0.1,
    "clip_norm": 0.0,
    **others,
  }


def defense(**fields: Any) -> dict[str, Any]:
  """The block that `jaxkd.defenses` reads, see `DEFENSE`."""
  return {**DEFENSE, **fields}


def experiment(
  method: str,
  found: dict[str, Any],
  *,
  teacher: dict[str, Any],
  student: dict[str, Any],
  synthesis: dict[str, Any],
  queries: dict[str, Any] | None = None,
  hyper: dict[str, float] | None = None,
  grid: dict[str, tuple[float, ...]] | None = None,
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
    grid: values of some of them, of which every combination is tried.
    image_size: pixels that images are resized to; 0 leaves them.
  """
  fields = {
    "method": method,
    "dataset": found["dataset"],
    "image_size": image_size,
    "seed": 0,
    "images": "",
    "compute_dtype": "float32",  # of networks; all weights and pixels are
    "teacher": {
      **TEACHER,
      "defense": defense(),
      **teacher,
      **_named(found, "teacher"),
    },
    "student": {
      "seeds": int(found.get("seeds", 1)),
      "at_once": 0,  # of seeds and points of the grid; 0: what memory allows
      "augment": (),
      "batch_norm": "per_device",
      "holdout": 0.01,
      **student,
      **_named(found, "student"),
    },
    "synthesis": synthesis,
    "queries": {**QUERIES, **(queries or {})},
    "adaptation": dict(ADAPTATION),
    "objective": "",  # another method's, in place of the method's own
    "hyper": {"temperature": 1.0, "alpha": 1.0} if hyper is None else hyper,
    "grid": grid or {},
    "tensorboard": False,
    "profile": {"steps": 0},  # turns of each stage that are traced
  }
  config = block(**fields)
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


def block(**fields: Any) -> ConfigDict:
  """A block of a config; blocks inside it are copied."""
  return ConfigDict(copied(fields))


def copied(fields: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
  """A dict of these fields in which no block stands twice.

  ConfigDict, its `to_dict` and `copy.deepcopy` keep one object that two fields
  hold as one, so an override of one field would change the other as well.
  """
  return {
    name: copied(value) if isinstance(value, (Mapping, ConfigDict)) else value
    for name, value in fields.items()
  }
