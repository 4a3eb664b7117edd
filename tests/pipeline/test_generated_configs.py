"""Configs with random values end in a plan, or in a line that names a field."""

import functools
import random

from ml_collections import ConfigDict
import pytest

import jaxkd
from jaxkd.config.fields import Block
from jaxkd.pipeline import plan, resolution
from jaxkd.types import JaxkdError

BASES = (
  "cake.py:dataset=two_moons,smoke", "ideal.py:smoke", "knockoff.py:smoke",
  "dfme.py:smoke", "zskt.py:smoke", "cmi.py:smoke", "scm.py:smoke",
)  # fmt: skip
VALUES = (
  0, 1, -1, 2, 7, 10**20, -5, 0.5, -0.5, 1e-9, 1e30, float("nan"),
  float("inf"), True, False, None, "", "x", "none", "mlp", "~/no", "a:b",
  "../..", "zwölf", (), (1,), (0.5, 2), ("x",), (1, "x"), [1], {"a": 1}, {},
  b"x", 1j, object(),
)  # fmt: skip


@functools.cache
def base(name):
  return jaxkd.load_config(f"configs/{name}")


def paths(block, values, prefix=""):
  """The dotted names of all fields and blocks that a config has."""
  for field in block.fields:
    name = f"{prefix}{field.name}"
    yield name
    if isinstance(field, Block) and field.name in values:
      yield from paths(field, values[field.name], f"{name}.")


def change(config, path, value):
  """Sets a field, whatever its type was."""
  *blocks, name = path.split(".")
  for block in blocks:
    config = config.get(block)
    if not isinstance(config, ConfigDict):
      return  # the block was replaced by a value before
  with config.ignore_type(), config.unlocked():
    config[name] = value


def generated(seed):
  """A config with a few random values, and the names of their fields."""
  rng = random.Random(seed)
  config = base(rng.choice(BASES)).copy_and_resolve_references()
  names = list(paths(resolution.declared(config), config))
  changes = {
    rng.choice([*names, "synthesis.unknown", "unknown", "teacher.unknown"]): (
      rng.choice(VALUES)
    )
    for _ in range(rng.randint(1, 3))
  }
  for path, value in changes.items():
    change(config, path, value)
  return config, changes


def check(seed):
  config, changes = generated(seed)
  try:
    plan.describe(config)
  except JaxkdError as error:
    message = str(error)
    assert len(message.splitlines()) <= 2, message
    names = {part for path in changes for part in path.split(".")}
    assert any(name in message for name in names), (changes, message)


def test_twenty_plans_or_lines():
  for seed in range(20):
    check(seed)


@pytest.mark.slow
def test_three_hundred_plans_or_lines():
  for seed in range(300):
    check(seed)
