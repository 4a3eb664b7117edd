"""The figures that a table asks for, from the folders of its cells."""

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from jaxkd import data, models, table_figures, weights
from jaxkd.table_figures import Answers

CONFIG = {"dataset": "two_moons", "image_size": 0, "synthesis": {}}


def report_of(method="htc", accuracy=0.5, defence="nasty_early_stop", **more):
  return {
    "method": method,
    "dataset": "two_moons",
    "teacher": {"model": "big"},
    "student": {"model": "small", "accuracy": accuracy},
    "defense": {"name": defence} if defence else None,
    "config": CONFIG,
    **more,
  }


def table_of(reports, *figures):
  """Cells whose runs all differ."""
  cells = {name: {"config": {"name": name}} for name in reports}
  return ConfigDict({"cells": cells, "figures": figures})


def saved(folder, *stems):
  folder.mkdir(parents=True)
  spec = data.spec("two_moons")
  for seed, stem in enumerate(stems):
    network = models.init("mlp", jax.random.key(seed), spec)
    weights.save(folder / f"{stem}.safetensors", network, spec, "mlp")


def test_the_cell_with_most_teachers_is_shown(tmp_path):
  saved(tmp_path / "cells" / "kd", "teacher")
  saved(tmp_path / "cells" / "scm", "normal", "teacher", "member2", "member3")
  reports = {"kd": report_of("kd"), "scm": report_of("scm")}
  config = table_of(reports, "temperature", "bars")
  said = table_figures.answers(tmp_path, config, reports)
  published = "nasty early stop teacher"
  assert said.published == published
  assert list(said.features) == ["normal teacher", published, "Seq-1", "Seq-2"]
  assert said.logits["Seq-1"].shape == (1000, 2)
  mean = sum(said.logits[n] for n in (published, "Seq-1", "Seq-2")) / 3
  np.testing.assert_allclose(said.logits["ensemble"], mean, rtol=1e-5)
  drawn = table_figures.draw(tmp_path, config, reports)
  assert [path.name for path in drawn] == ["temperature.png", "bars.png"]
  assert all(path.stat().st_size > 5_000 for path in drawn)


def test_a_plain_teacher_is_the_published_one(tmp_path):
  saved(tmp_path / "cells" / "kd", "teacher")
  reports = {"kd": report_of(defence="")}
  said = table_figures.answers(tmp_path, table_of(reports), reports)
  assert list(said.logits) == ["teacher"] == [said.published]


@pytest.mark.parametrize("reports", [{}, {"kd": report_of()}])
def test_what_is_not_there_is_not_drawn(tmp_path, capsys, reports):
  config = table_of(reports, *table_figures.FIGURES)
  assert table_figures.draw(tmp_path, config, reports) == []
  assert "the figure bars" in capsys.readouterr().out


def test_the_image_is_the_first_that_all_get_right():
  right, wrong = [0.0, 1.0], [1.0, 0.0]
  one = np.array([wrong, right, right, right])
  two = np.array([right, wrong, right, right])
  labels = np.ones(4, int)
  said = Answers({"one": one, "two": two}, {}, labels, "one")
  assert table_figures.common_image(said) == 2
  never = Answers({"one": one, "two": 0 * two}, {}, labels, "one")
  assert table_figures.common_image(never) == 1  # one of two


GRID = {
  "names": ["alpha", "temperature"],
  "points": [
    {"alpha": a, "temperature": t, "validation": 0.1, "accuracy": a + t / 100}
    for a in (0.1, 0.9)
    for t in (50.0, 4.0)
  ],
  "chosen": 2,
  "oracle": 0,
}


def test_lines_go_through_the_chosen_point():
  varied = {name: points for name, _, points in table_figures.slices(GRID)}
  assert [value for value, _ in varied["temperature"]] == [4.0, 50.0]
  assert varied["temperature"][0][1] == pytest.approx(0.94)
  assert [value for value, _ in varied["alpha"]] == [0.1, 0.9]
  assert varied["alpha"][0][1] == pytest.approx(0.6)


def test_sweeps_of_grids_of_data_and_what_to_compare_with():
  little = CONFIG | {"synthesis": {"fraction": 0.1}}
  reports = {
    "htc": report_of(grid=GRID),
    "vanilla": report_of("vanilla", 0.8, defence=""),
    "skeptical": report_of(
      "skeptical", 0.7, config=CONFIG | {"objective": "htc"}
    ),
    "kd": report_of("kd", 0.6),
    "kd_little": report_of("kd", 0.4, config=little),
  }
  ((title, sweep),) = table_figures.sweeps(reports).items()
  assert title == "two_moons: big → small"
  assert sweep.references == {
    "vanilla": 0.8,
    "skeptical + htc against nasty early stop": 0.7,
  }
  shares = sweep.panels.pop("share of the training data")
  assert shares == {"kd against nasty early stop": [(0.1, 0.4), (1.0, 0.6)]}
  assert sweep.panels.keys() == {"alpha", "temperature"}
  held = "htc against nasty early stop, alpha 0.9"
  assert len(sweep.panels["temperature"][held]) == 2


def test_cells_without_grid_or_fractions_are_no_sweep():
  assert table_figures.sweeps({"kd": report_of("kd")}) == {}
