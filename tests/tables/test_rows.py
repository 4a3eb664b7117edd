"""Tests of the rows of `configs/README.md`, and of what makes two equal."""

import json
from pathlib import Path

import pytest

from jaxkd import config as c, data
from jaxkd.config import fields
from jaxkd.pipeline import resolution
from jaxkd.tables.rows import ROWS, Row, asked_values, differences, read_rows
from jaxkd.types import JaxkdError

CONFIGS = sorted(ROWS.parents[1].glob("*.py"))
DATA = sorted(data.names())
SLOW = ("control_table",)  # has more than a hundred cells


def test_every_run_is_valid_and_none_stands_twice():
  rows = read_rows()
  names = [row.record_name for row in rows]
  assert len(set(names)) == len(names)
  seen = {}
  for row in rows:
    assert row.reproduces and row.not_run
    if not row.is_table:
      config = row.load()
      assert "cells" not in config
      fields.check(resolution.declared(config), config)
      values = json.dumps(asked_values(config), sort_keys=True)
      assert seen.setdefault(values, row.command) == row.command


@pytest.mark.parametrize(
  "path",
  [
    pytest.param(path, marks=[pytest.mark.slow] * (path.stem in SLOW))
    for path in CONFIGS
  ],
  ids=lambda path: path.stem,
)
def test_every_data_set_of_a_config_has_a_row(path):
  named = f"configs/{path.name}:"
  rows = [row for row in read_rows() if row.config.startswith(named)]
  have = {
    part.removeprefix("dataset=")
    for row in rows
    for part in row.config.removeprefix(named).split(",")
    if part.startswith("dataset=")
  }
  assert have == {name for name in DATA if has_recipe(path, name)}
  # One of each kind: an audit is a run, and a table with its defences.
  for row in {row.is_table: row for row in rows}.values():
    assert row.is_table == ("cells" in row.load())


def has_recipe(path, name):
  papers = ("", ",paper=ideal") if path.stem == "field_table" else ("",)
  for paper in papers:
    try:
      c.load_config(f"{path}:dataset={name}{paper}")
    except JaxkdError:
      continue
    return True
  return False


def test_entries_expand_and_become_commands(tmp_path):
  path = tmp_path / "rows.toml"
  path.write_text(
    """
    tables = []
    [[runs]]
    config = "configs/{cake,lake}.py:dataset=mnist"
    overrides = { "student.epochs" = 3, "queries.eval_at" = [0.5, 1.0] }
    reproduces = "nothing"
    not_run = "no time"
    """
  )
  cake, lake = read_rows(path)
  flags = "--config.student.epochs=3 --config.queries.eval_at=(0.5, 1.0)"
  assert cake.command == f"configs/cake.py:dataset=mnist {flags}"
  assert cake.commands == lake.commands
  assert cake.commands.startswith("configs/{cake,lake}.py:dataset=mnist --")
  assert lake.record_name == (
    "lake_dataset_mnist_student_epochs_3_queries_eval_at_0_5_1_0.json"
  )
  config = lake.load()
  assert config.student.epochs == 3 and config.queries.eval_at == (0.5, 1.0)
  assert config.synthesis.dynamics == "langevin"


def test_rows_are_read_in_a_checkout_alone():
  with pytest.raises(JaxkdError, match="not in an installed package"):
    read_rows(Path("nowhere/rows.toml"))


def a_row(**fields):
  row = Row("configs/cake.py:dataset=mnist", {}, "a", "", "b", "", False)
  return row._replace(**fields)


def nested(config):
  return json.loads(json.dumps(config.to_dict()))


def test_the_seed_and_automatic_values_make_no_difference():
  config = a_row().load()
  recorded = nested(config) | {"seed": 5, "tensorboard": True}
  recorded["synthesis"]["sets_per_round"] = 2
  assert not differences(config, recorded)
  config.synthesis.sets_per_round = 4
  assert differences(config, recorded) == [
    "synthesis.sets_per_round 4, recorded 2"
  ]


def test_a_field_added_since_counts_unless_it_is_at_its_default():
  config = a_row().load()
  recorded = nested(config)
  del recorded["student"]["batch_norm"], recorded["student"]["epochs"]
  assert differences(config, recorded) == ["student.epochs 20, recorded absent"]
  config.student.batch_norm = "all_devices"
  assert len(differences(config, recorded)) == 2


def test_a_field_that_is_gone_counts():
  config = a_row().load()
  recorded = nested(config) | {"momentum": 0.9}
  assert differences(config, recorded) == ["momentum absent, recorded 0.9"]
