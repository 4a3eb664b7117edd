"""Declarations of fields: every one is checked, and every config fits them."""

import functools
import inspect
import math
import operator
from pathlib import Path
import re

from config_commands import commands
from ml_collections import ConfigDict
import pytest

import jaxkd
from jaxkd import config as c, methods
from jaxkd.config import fields
from jaxkd.config.fields import COUNT, Block, Field, Interval
from jaxkd.errors import JaxkdError
from jaxkd.pipeline import resolution
from jaxkd.tables import runner

CONFIGS = sorted(Path(__file__).parents[2].joinpath("configs").glob("*.py"))
TOY = Block(
  "",
  "A toy.",
  (
    Field("rate", float, 0.5, "Its rate.", Interval(0, 1, open_low=True)),
    Field("kind", str, ..., "Its kind.", ("round", "square")),
    Field("eval_at", tuple[float, ...], (), "When.", formerly="marks"),
    Block("size", "Its size.", (Field("height", int, 3, "High.", COUNT),)),
    Block("spare", "Another.", (Field("depth", int, ..., "Deep."),), False),
  ),
)  # fmt: skip


def refused(values, block=TOY):
  with pytest.raises(JaxkdError) as error:
    fields.check(block, values)
  return str(error.value)


def declared(config):
  return (runner if "cells" in config else resolution).declared(config)


def leaves(block, values, path=""):
  """Every field of the blocks that are there, by its path."""
  for field in block.fields:
    if isinstance(field, Field):
      yield f"{path}{field.name}", field
    elif field.name in values:
      yield from leaves(field, values[field.name], f"{path}{field.name}.")


def wrong_values(field):
  """What a field does not take: other types, and numbers out of range."""
  kind, several = field.type, "tuple" in str(field.type)
  if several:
    yield from (5, (None,), ((1.0,),))
    kind = field.type.__args__[0]
  wrong = [None] if field.default is not None else []
  wrong += [ConfigDict()]
  wrong += [5, b"x"] if kind is str else ["x", (1,)]
  if kind is not bool and kind is not str:
    wrong += [math.nan, math.inf]
  if kind is int:
    wrong += [0.5, True]  # of a float ConfigDict itself makes 1.0
  if kind is bool:
    wrong += [0, 1]
  if isinstance(field.allowed, Interval):
    low, high, open_low, open_high = field.allowed
    wrong += [low - 1] + [low] * open_low
    wrong += [high + 1] * (high < math.inf) + [high] * open_high
  elif field.allowed is not None:
    wrong += ["none of them"]
  yield from ((value,) for value in wrong) if several else wrong


def test_a_value_that_a_field_does_not_take():
  assert refused({"kind": "round", "rate": 0.0}) == (
    "rate=0.0: choose a number above 0 and at most 1."
  )
  assert refused({"kind": "rund"}).startswith("Unknown kind 'rund'. Did you me")
  assert refused({"kind": "round", "size": {"height": 0.5}}) == (
    "size.height=0.5: choose an integer of at least 1."
  )
  assert refused({"kind": "round", "eval_at": "x"}) == (
    "eval_at='x': choose a tuple of numbers."
  )


def test_fields_that_are_missing_unknown_renamed_or_no_blocks():
  assert refused({}) == "kind is missing: one of round, square. Its kind."
  assert refused({"kind": "round", "rates": 1}).startswith(
    "Unknown field 'rates'. Did you mean rate?"
  )
  assert refused({"kind": "round", "size": {"hight": 1}}).startswith(
    "Unknown field in size 'hight'. Did you mean height?"
  )
  assert refused({"marks": ()}) == "marks is called eval_at now."
  assert refused({"kind": "round", "size": 3}) == (
    "size=3: a block takes no value; set size.height."
  )
  assert refused({"kind": "round", "spare": {}}).startswith("spare.depth is")


def test_what_is_left_out_has_its_default():
  found = fields.filled(TOY, ConfigDict({"kind": "round"}))
  assert found == {
    "kind": "round", "rate": 0.5, "eval_at": (), "size": {"height": 3},
  }  # fmt: skip


def test_fields_are_described_with_their_values():
  lines = list(fields.describe(TOY, {"kind": "round", "size": {"height": 4}}))
  assert lines[:4] == [
    "rate = 0.5",
    "    a number above 0 and at most 1, by default 0.5. Its rate.",
    "kind = 'round'",
    "    one of round, square. Its kind.",
  ]
  assert "size.height = 4" in lines


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_has_what_is_declared(path):
  for command in commands(path):
    config = c.load_config(command)
    block = declared(config)
    fields.check(block, config)
    if "cells" not in config:
      lines = fields.describe(block, config)
      described = {line.partition(" = ")[0] for line in lines}
      assert described >= dict(leaves(block, config)).keys()


@pytest.mark.parametrize("name", methods.names())
def test_a_method_declares_what_it_builds_with(name):
  parameters = inspect.signature(methods.find(name).build).parameters
  synthesis, hyper, grid = methods.declared(name)
  given = {"spec", "hyper", "budget", "num_images"}
  assert {f.name for f in synthesis.fields} == parameters.keys() - given
  assert [f.name for f in grid.fields] == [f.name for f in hyper.fields]


@pytest.mark.parametrize("name", methods.names())
def test_every_field_is_checked_before_any_work(name):
  """The fields that all methods share are checked in a config of IDEAL."""
  config = c.load_config(f"configs/{name}.py:smoke")
  shared = c.load_config("configs/ideal.py:smoke")
  shared = dict(leaves(resolution.declared(shared), shared))
  for path, field in leaves(resolution.declared(config), config):
    if name != "ideal" and shared.get(path) == field:
      continue
    assert re.fullmatch(r"\w.*[^.]\.", field.meaning), path
    *blocks, last = path.split(".")
    block = functools.reduce(operator.getitem, blocks, config)
    right = block.get(last)
    for value in wrong_values(field):
      with config.ignore_type():
        block[last] = value
      with pytest.raises(JaxkdError, match=rf"^(Unknown )?{re.escape(path)}\b"):
        resolution.resolve(config)
    del block[last]  # a value that is set takes the type of the one before
    if right is not None:
      block[last] = right


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("images", "other_dataset"),
    ("queries.marks", "queries.eval_at"),
    ("student.holdout", "student.validation_fraction"),
    ("synthesis.committee", "synthesis.ensemble"),
    ("synthesis.unasked", "synthesis.extra_images"),
    ("teacher.holdout", "teacher.validation_fraction"),
    ("teacher.network", "teacher.factory"),
  ],
)
def test_a_field_is_told_by_its_old_name(old, new, tmp_path):
  config = c.load_config("configs/ideal.py:smoke")
  *blocks, last = old.split(".")
  functools.reduce(operator.getitem, blocks, config)[last] = 0
  with pytest.raises(JaxkdError, match=f"^{old} is called {new} now"):
    jaxkd.distill(None, config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_cells_are_checked_before_the_first_one_runs(tmp_path):
  config = c.load_config("configs/nasty_table.py:smoke")
  config.cells.lenet5_half_scm.config.grid.alpha = (0.1, "a")
  with pytest.raises(JaxkdError, match=r"^cells.lenet5_half_scm.config.grid."):
    runner.run(config, tmp_path / "table")
  assert not (tmp_path / "table").exists()
