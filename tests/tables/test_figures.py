"""Tests of a table's figures, from the folders of its cells."""

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest
from table_reports import report_of

from jaxkd import data, models
from jaxkd.serialization import weights
from jaxkd.tables import figures as table_figures
from jaxkd.tables.figures import TeacherOutputs


def table_of(reports, *figures):
  """Makes a table of cells that are different runs."""
  run = {"dataset": "two_moons", "image_size": 0, "background": ""}
  cells = {
    name: {
      "config": {
        "name": name,
        "teacher": {"model": "mlp"},
        "synthesis": {},
        **run,
      },
      "row": name,
      "column": "accuracy",
    }
    for name in reports
  }
  return ConfigDict({"cells": cells, "figures": figures})


def saved(folder, *stems):
  folder.mkdir(parents=True)
  spec = data.spec("two_moons")
  for seed, stem in enumerate(stems):
    network = models.init("mlp", jax.random.key(seed), spec)
    weights.save(folder / f"{stem}.safetensors", network, spec, "mlp")


def test_the_cell_with_most_teachers_is_drawn(tmp_path):
  saved(tmp_path / "cells" / "kd", "teacher")
  saved(tmp_path / "cells" / "scm", "normal", "teacher", "member2", "member3")
  reports = {"kd": report_of("kd"), "scm": report_of("scm")}
  config = table_of(reports, "temperature", "bars")
  outputs = table_figures.ask_teachers(tmp_path, config, reports)
  published = "nasty early stop teacher"
  assert outputs.published == published
  assert list(outputs.features) == [
    "undefended teacher",
    published,
    "Seq-1",
    "Seq-2",
  ]
  assert outputs.logits["Seq-1"].shape == (1000, 2)
  mean = sum(outputs.logits[n] for n in (published, "Seq-1", "Seq-2")) / 3
  np.testing.assert_allclose(outputs.logits["ensemble"], mean, rtol=1e-5)
  paths = table_figures.draw(tmp_path, config, reports)
  assert [path.name for path in paths] == ["temperature.png", "bars.png"]
  assert all(path.stat().st_size > 5_000 for path in paths)


def test_a_plain_teacher_is_the_published_one(tmp_path):
  saved(tmp_path / "cells" / "kd", "teacher")
  reports = {"kd": report_of(defence="")}
  outputs = table_figures.ask_teachers(tmp_path, table_of(reports), reports)
  assert list(outputs.logits) == ["teacher"] == [outputs.published]


def test_a_defence_of_the_answer_does_not_name_the_network(tmp_path):
  saved(tmp_path / "cells" / "kd", "teacher")
  defense = {"name": "rounding", "changes_answers": True}
  reports = {"kd": report_of(defense=defense)}
  outputs = table_figures.ask_teachers(tmp_path, table_of(reports), reports)
  assert list(outputs.logits) == ["teacher"]


@pytest.mark.parametrize("reports", [{}, {"kd": report_of()}])
def test_a_figure_without_cells_is_not_drawn(tmp_path, capsys, reports):
  figures = (*table_figures.TEACHER_FIGURES, "sweep")
  config = table_of(reports, *figures)
  assert table_figures.draw(tmp_path, config, reports) == []
  assert "the figure bars" in capsys.readouterr().out


def test_the_image_is_the_first_that_all_get_right():
  right, wrong = [0.0, 1.0], [1.0, 0.0]
  one = np.array([wrong, right, right, right])
  two = np.array([right, wrong, right, right])
  labels = np.ones(4, int)
  outputs = TeacherOutputs({"one": one, "two": two}, {}, labels, "one")
  assert table_figures.common_image(outputs) == 2
  never = TeacherOutputs({"one": one, "two": 0 * two}, {}, labels, "one")
  assert table_figures.common_image(never) == 1  # one of two
