"""Configs: shared blocks and argument strings.

A file in `configs/` has `get_config(argument)`; the argument is what stands
behind the colon in `--config=configs/cake.py:dataset=mnist,smoke`.
"""

from collections.abc import Sequence
import importlib.util
from pathlib import Path
import re
from typing import Any

from ml_collections import ConfigDict

from jaxkd import checks
from jaxkd.types import JaxkdError

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
ARGUMENTS = ("dataset", "teacher", "student", "seeds", "smoke")
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


def without(argument: str, *names: str) -> str:
  """An argument string without the parts of these names.

  >>> without("attack=dfme,smoke", "attack")
  'smoke'
  """
  parts = [part.strip() for part in (argument or "").split(",")]
  return ",".join(p for p in parts if p.partition("=")[0] not in names)


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
  config = ConfigDict(
    {
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


def cell(
  row: str,
  column: str,
  config: ConfigDict,
  *,
  value: str = "student.accuracy",
  published: float | None = None,
) -> dict[str, Any]:
  """One run of a table, and its place in it.

  Args:
    row: one of the table's rows.
    column: one of its columns.
    config: of the run, a whole one; it is copied.
    value: where the number stands in the run's `report.json`.
    published: the paper's number, in the table's unit; None if it has none.
  """
  return {
    "row": row,
    "column": column,
    "config": config.to_dict(),
    "value": value,
    "published": published,
  }


def cells(
  config_file: str,
  rows: dict[str, str],
  columns: dict[str, str],
  argument: str,
  *,
  value: str | dict[str, str] = "student.accuracy",
  published: Sequence[Sequence[float | None]] = (),
) -> dict[str, dict[str, Any]]:
  """A cell for every row and column, from the configs beside `config_file`.

  Args:
    config_file: of the table.
    rows: what stands behind the colon of every cell in a row, by its name.
    columns: a config's name, and what stands behind its colon, by the column's
      name.
    argument: what stands behind the colon of every cell.
    value: see `cell`; by column, if it is not the same for all.
    published: numbers in the order of rows and columns; None where the paper
      has none.
  """
  found = {}
  for i, (row, shared) in enumerate(rows.items()):
    for j, (column, run) in enumerate(columns.items()):
      name, _, own = run.partition(":")
      parts = ",".join(filter(None, (argument, shared, own)))
      found[slug(f"{row}_{column}")] = cell(
        row,
        column,
        sibling(config_file, name, parts),
        value=value if isinstance(value, str) else value[column],
        published=published[i][j] if published else None,
      )
  return found


def slug(name: str) -> str:
  """A name that can be a folder and a part of a flag.

  >>> slug("cnn_Skep.+HTC, t = inf")
  'cnn_skep_htc_t_inf'
  """
  return re.sub(r"\W+", "_", name.lower()).strip("_")


def table(
  name: str,
  title: str,
  rows: Sequence[str],
  columns: Sequence[str],
  cells: dict[str, dict[str, Any]],
  *,
  unit: str = "percent",
  figures: Sequence[str] = (),
) -> ConfigDict:
  """The config of a table, see `jaxkd.tables.table`.

  Args:
    name: of the table.
    title: a line that says which table of which paper it is, and on what data.
    rows: in the order in which they are shown and worked off.
    columns: likewise.
    cells: what `cell` gave, by names that serve as folders and in flags:
      `--config.cells.cnn_htc.config.seed=1`.
    unit: `percent` or `nats`.
    figures: of `bars`, `temperature`, `sweep` and `features`.
  """
  return ConfigDict(
    {
      "table": name,
      "title": title,
      "rows": tuple(rows),
      "columns": tuple(columns),
      "cells": cells,
      "unit": unit,
      "figures": tuple(figures),
    }
  )


def located(name: str) -> str:
  """`name`, or where the config of that name lies that came with the package,
  if there is none here: `configs/cake.py:smoke` works in every folder.
  """
  path, colon, argument = name.partition(":")
  packaged = Path(__file__).parent / path
  if not Path(path).exists() and path.startswith("configs/"):
    path = str(packaged) if packaged.exists() else path
  return f"{path}{colon}{argument}"


def load_config(name: str) -> ConfigDict:
  """The config of a file, named as for `--config`: `configs/cake.py:smoke`.

  Raises:
    JaxkdError: if there is no such file.
  """
  path, _, argument = located(name).partition(":")
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


def share_networks(
  config: ConfigDict, shared: ConfigDict, student: str
) -> None:
  """Gives a config the teacher of another, and `student` to teach."""
  for field in ("model", "epochs", "batch_size", "optimizer", "augment"):
    config.teacher[field] = shared.teacher[field]
  config.student.model = student
  config.image_size = shared.image_size


def block(**fields: Any) -> ConfigDict:
  """A block of a config."""
  return ConfigDict(fields)


def of(table: dict[str, Any], key: str, name: str = "dataset") -> Any:
  """A row of a config's table, that of a data set as a rule.

  Raises:
    JaxkdError: naming the rows that there are.
  """
  checks.choice(name, key, table)
  return table[key]
