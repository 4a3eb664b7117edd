"""Tests of the records of tables, whose cells are runs."""

import json
import re

import pytest
from report_example import a_report

from jaxkd.runtime.files import to_json, write_json
from jaxkd.tables import (
  __main__ as command,
  results_page,
  runner,
  table_results,
)
from jaxkd.tables.records import cell_folder
from jaxkd.tables.rows import Row
from jaxkd.types import JaxkdError

ROW = Row(
  "configs/defense_table.py:smoke", {}, "table 6", "", "no time", "", True
)
RUN = ROW._replace(config="configs/cake.py", is_table=False)
ROWS = (RUN, ROW)


@pytest.fixture(scope="module")
def config():
  return ROW.load()


@pytest.fixture
def table(config, tmp_path):
  """Makes the folder of a table in which some runs are finished."""

  def make(name, *finished, **changes):
    folder = tmp_path / name
    write_json(folder / "config.json", runner.identity(config))
    for run in finished:
      values = to_json(config.cells[run].config.to_dict())
      changes = {"commit": "a" * 40, "student__seeds": 1, **changes}
      report = a_report(config=values, guide=None, **changes)
      write_json(folder / "cells" / run / "report.json", report)
    return folder

  return make


def recorded(folder, tmp_path):
  path, _ = table_results.record(folder, ROWS, tmp_path / "results")
  return json.loads(path.read_text())


def shared(config):
  """The name of a run that two cells share, and of one that is a cell's own."""
  names = [cell_folder(config, name) for name in config.cells]
  several = {name for name in names if names.count(name) > 1}
  return min(several), min(set(names) - several)


def test_a_tables_record_has_its_finished_runs(table, config, tmp_path):
  both, own = shared(config)
  content = recorded(table("t", both, own), tmp_path)
  assert content["runs"].keys() == {both, own}
  assert set(content["cells"]) == {
    name for name in config.cells if cell_folder(config, name) in (both, own)
  }
  assert len(content["cells"]) > 2
  assert content["cells"][own]["value"] == pytest.approx(60.0)
  assert len(content["runs"][own]["report_sha256"]) == 64


def test_a_table_is_rendered_with_the_cells_that_are_finished(
  table, config, tmp_path
):
  _, own = shared(config)
  content = recorded(table("t", own), tmp_path)
  text = results_page.render(ROWS, {ROW.record_name: content})
  assert f"**`{ROW.command}`**: {config.title}" in text
  assert "| 60.00 ± 1.20 [57.80, 62.10] |" in text
  assert f"1 of {len(config.cells)} cells, in percent" in text
  assert "number, in square ones the 95 % interval. Runs" in text
  assert "Runs: 1, on 2 × cpu, 2 min 22 s in all; 2024-01-02 aaaaaaa." in text
  assert "Outdated" not in text
  values = content["runs"][own]["values"]
  values["student"]["epochs"], values["seed"] = 7, 5
  text = results_page.render(ROWS, {ROW.record_name: content})
  assert f"Outdated: student.epochs 2, recorded 7 ({own}); " in text
  assert f"seed 0, recorded 5 ({own})." in text


def test_what_differs_in_many_cells_is_said_once(table, config, tmp_path):
  _, own = shared(config)
  content = recorded(table("t", own), tmp_path)
  values = content["runs"][own]["values"]
  content["runs"][own]["values"] = {**values, "seed": 5}
  cell = next(iter(content["cells"].values()))
  others = [name for name in config.cells if name != own][:3]
  for name in others:
    content["cells"][name] = cell
    content["runs"][cell_folder(config, name)] = content["runs"][own]
  text = results_page.render(ROWS, {ROW.record_name: content})
  assert text.count("seed 0, recorded 5") == 1
  assert re.search(r"seed 0, recorded 5 \([^,]+, [^,]+ and \d+ more\)", text)


def test_a_part_of_a_table_leaves_the_other_cells_as_they_were(
  table, config, tmp_path
):
  both, own = shared(config)
  recorded(table("t", both, own), tmp_path)
  part = table("part", own, date="2025-06-07T00:00:00+00:00")
  identity = json.loads((part / "config.json").read_text())
  cells = identity["config"]["cells"]
  identity["config"]["cells"] = {own: cells[own]}
  (part / "config.json").write_text(json.dumps(identity))
  path, lines = table_results.record(part, ROWS, tmp_path / "results")
  content = json.loads(path.read_text())
  assert content["runs"].keys() == {both, own}
  assert "kept" in lines[1]
  dates = {name: content["cells"][name]["date"] for name in content["cells"]}
  assert dates.pop(own).startswith("2025")
  assert len(dates) > 1
  assert all(date.startswith("2024") for date in dates.values())


def test_a_table_of_no_row_is_refused(table, config, tmp_path):
  _, own = shared(config)
  with pytest.raises(JaxkdError, match="no finished cell"):
    recorded(table("empty"), tmp_path)
  folder = table("t", own)
  path = folder / "cells" / own / "report.json"
  report = json.loads(path.read_text())
  report["config"]["seed"] = 5
  path.write_text(json.dumps(report))
  with pytest.raises(
    JaxkdError, match=rf"differs in seed 0, recorded 5 \({own}\)"
  ):
    recorded(folder, tmp_path)


def test_a_table_is_recorded_alone(table, config, monkeypatch, capsys):
  _, own = shared(config)
  monkeypatch.setattr(command, "read_rows", lambda: ROWS)
  with pytest.raises(SystemExit):
    command.main(["record", str(table("a", own)), str(table("b", own))])
  assert "a is a table; record it alone" in capsys.readouterr().err


@pytest.mark.parametrize("content", [{}, {"config": []}, {"config": {}}])
def test_the_config_of_something_else_is_named(tmp_path, content):
  write_json(tmp_path / "config.json", content)
  with pytest.raises(JaxkdError, match=r"config.json has no config.cells"):
    table_results.record(tmp_path, ROWS, tmp_path / "results")
