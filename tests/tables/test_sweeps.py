"""Tests of lines through grids, and through runs with other data."""

import pytest
from table_reports import CONFIG, report_of

from jaxkd.tables import sweeps

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
  varied = {name: points for name, _, points in sweeps.slice_grid(GRID)}
  assert [value for value, _ in varied["temperature"]] == [4.0, 50.0]
  assert varied["temperature"][0][1] == pytest.approx(0.94)
  assert [value for value, _ in varied["alpha"]] == [0.1, 0.9]
  assert varied["alpha"][0][1] == pytest.approx(0.6)


def test_sweeps_of_grids_and_data_with_references():
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
  ((title, sweep),) = sweeps.collect_sweeps(reports).items()
  assert title == "two_moons: big → small"
  assert sweep.references == {
    "vanilla": 0.8,
    "skeptical + htc against nasty early stop": 0.7,
  }
  shares = sweep.panels.pop("share of the training data")
  assert shares == {"kd against nasty early stop": [(0.1, 0.4), (1.0, 0.6)]}
  assert sweep.panels.keys() == {"alpha", "temperature"}
  line = "htc against nasty early stop, alpha 0.9"
  assert len(sweep.panels["temperature"][line]) == 2


def test_cells_without_grid_or_fractions_are_no_sweep():
  assert sweeps.collect_sweeps({"kd": report_of("kd")}) == {}
