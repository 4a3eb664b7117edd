"""Tests of the figures that compare runs, and of the configs with them."""

from pathlib import Path

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest
from table_reports import report_of

import jaxkd
from jaxkd import data, models
from jaxkd.runtime.metrics import MetricsWriter
from jaxkd.serialization import weights
from jaxkd.tables import figures as table_figures, page, runner
from jaxkd.types import Samples

CONFIGS = Path(__file__).parents[2] / "configs"
WEIGHTS = {"classification": 1.0, "balance": 5.0}


def cells(*places):
  return ConfigDict({
    "rows": ("first", "second"),
    "columns": ("left", "right"),
    "figures": ("matrix", "budgets", "samples", "synthetic"),
    "cells": {
      name: {"row": row, "column": column,
        "config": {"name": name, "student": {"model": "mlp"}}}
      for name, row, column in places
    },
  })  # fmt: skip


def spent(accuracy, queries):
  config = {"synthesis": {"weights": WEIGHTS}}
  return report_of(accuracy=accuracy, queries={"spent": queries}, config=config)


@pytest.fixture
def made(monkeypatch):
  """Gives every run the same samples: 60 points with teacher's answers."""
  keys = jax.random.split(jax.random.key(0))
  samples = Samples(
    np.asarray(jax.random.normal(keys[0], (60, 2))),
    np.full(60, -1),
    np.asarray(jax.random.normal(keys[1], (60, 2))),
  )
  monkeypatch.setattr(table_figures, "read_samples", lambda folder: samples)
  return samples


def test_a_matrix_shows_every_pair_that_is_done(tmp_path, monkeypatch):
  seen = {}
  monkeypatch.setattr(
    table_figures.field_figures,
    "matrix_figure",
    lambda path, *paths: seen.update(rows=paths[0], values=paths[2]),
  )
  config = cells(
    ("a", "first", "left"), ("b", "second", "left"), ("c", "second", "right")
  )
  config.figures = ("matrix",)
  reports = {"a": report_of(accuracy=0.9), "c": report_of(accuracy=0.2)}
  table_figures.draw(tmp_path, config, reports)
  assert seen["rows"] == ("first", "second")
  np.testing.assert_equal(seen["values"], [[0.9, np.nan], [np.nan, 0.2]])


def test_runs_are_drawn_side_by_side(tmp_path, made):
  config = cells(("a", "first", "left"), ("b", "second", "left"))
  spec = data.spec("two_moons")
  for name in "ab":
    folder = tmp_path / "cells" / name
    folder.mkdir(parents=True)
    network = models.init("mlp", jax.random.key(0), spec)
    weights.save(folder / "student.safetensors", network, spec, "mlp")
    with MetricsWriter(folder) as metrics:
      for step in (1, 2):
        metrics.write(
          "synthesis", step, classification=1.0, balance=-0.1 * step
        )
  losses = table_figures.generator_losses(tmp_path / "cells" / "a", WEIGHTS)
  np.testing.assert_allclose(losses, [0.5, 0.0], atol=1e-9)
  reports = {"a": spent(0.5, 100), "b": spent(0.7, 1000)}
  config.figures = ("matrix", "budgets", "synthetic")
  paths = table_figures.draw(tmp_path, config, reports)
  assert [path.stem for path in paths] == list(config.figures)
  assert all(path.stat().st_size > 5_000 for path in paths)


def test_images_of_methods_stand_in_rows_of_classes(tmp_path):
  images = np.zeros((5, 4, 4, 1), np.float32)
  labels = np.array([0, 0, 1, 1, 1])
  images[labels == 1] = 0.5
  canvas = table_figures.field_figures._tile(images, labels, 3)
  assert canvas.shape == (15, 8 * 5, 3)
  assert (canvas[0, [0, 5, 10], 0] == [0, 0, 1]).all()
  assert (canvas[5, [0, 5, 10, 15], 0] == [0.5, 0.5, 0.5, 1]).all()
  assert (canvas[10:] == 1).all()
  path = tmp_path / "samples.png"
  made = {"one": (images, labels), "other": (images, labels)}
  table_figures.field_figures.samples_figure(path, made, 3)
  assert path.stat().st_size > 2_000


@pytest.mark.parametrize(
  "argument",
  [
    "",
    pytest.param("of=models,dataset=mnist", marks=pytest.mark.slow),
    "method=dafl",
    "of=budgets,dataset=mnist",
    "of=samples",
    "of=steps,smoke",
  ],
)
def test_the_cells_of_a_matrix_can_be_planned(argument):
  config = jaxkd.load_config(f"{CONFIGS}/matrix.py:{argument}")
  names = [(cell.row, cell.column) for cell in config.cells.values()]
  assert len(names) == len(set(names))
  runner.check(config)
  last = config.cells[list(config.cells)[-1]]
  assert "images in" in runner.describe_cell(last.config)


def test_steps_and_budgets_differ_in_what_they_say():
  steps = jaxkd.load_config(f"{CONFIGS}/matrix.py:of=steps,dataset=cifar10")
  cell = steps.cells.accuracy_50
  assert cell.config.synthesis.num_steps == 50
  assert cell.published == 58.69
  budgets = jaxkd.load_config(f"{CONFIGS}/matrix.py:of=budgets,dataset=cifar10")
  large = budgets.cells.dfme_10000000
  assert large.config.queries.budget == 10_000_000
  assert large.config.teacher.access == "label"
  assert large.published == 57.94


def test_every_figure_has_a_caption():
  known = {*table_figures.TEACHER_FIGURES, "sweep", *table_figures.RUN_FIGURES}
  assert known == page.CAPTIONS.keys()
