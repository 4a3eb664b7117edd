"""Tests of the cells that a table runs, its files, and how it continues."""

import csv
import json

from ml_collections import ConfigDict
import pytest
from table_cells import DATE, a_table, report_of

from jaxkd import config as configs
from jaxkd.pipeline import distill
from jaxkd.runtime.checkpoints import Preempted
from jaxkd.tables import cell_runs, page, runner
from jaxkd.tables.records import empty_record
from jaxkd.types import JaxkdError

GRID = {
  "names": ["alpha", "temperature"],
  "points": [
    {"alpha": 0.1, "temperature": 4.0, "validation": 0.5, "accuracy": 0.75},
    {"alpha": 0.9, "temperature": 50.0, "validation": 0.6, "accuracy": 0.7},
  ],
  "chosen": 1,
  "oracle": 0,
}


def lines_of(folder):
  with (folder / "table.csv").open(newline="") as file:
    return {line["cell"]: line for line in csv.DictReader(file)}


def test_cells_that_are_the_same_run_share_it():
  config = configs.load_config("configs/defense_table.py:smoke")
  folders = {name: runner.cell_folder(config, name) for name in config.cells}
  assert folders["teacher_nasty_kd"] == folders["lenet5_half_nasty_kd"]
  assert folders["teacher_nasty_kd"] != folders["teacher_scm"]
  assert folders["cnn_quarter_scm"] == "cnn_quarter_scm"


def test_cells_run_row_by_row_and_only_once(runs, tmp_path, capsys):
  first = runner.run(a_table(), tmp_path)
  assert runs.done == ["mob_kd", "cnn_kd", "cnn_htc"]
  assert "2/3 cnn_kd\n" in capsys.readouterr().out
  assert runner.run(a_table(), tmp_path) == first
  assert len(runs.done) == 3
  assert "2/3 cnn_kd: finished before\n" in capsys.readouterr().out


def test_a_killed_cell_is_done_again_and_the_others_are_not(runs, tmp_path):
  runs.errors["cnn_kd"] = KeyboardInterrupt()
  with pytest.raises(KeyboardInterrupt):
    runner.run(a_table(), tmp_path)
  assert lines_of(tmp_path)["mob_kd"]["value"] == "12.3"
  assert lines_of(tmp_path)["cnn_kd"]["value"] == ""
  runs.errors.clear()
  runner.run(a_table(), tmp_path)
  assert runs.done == ["mob_kd", "cnn_kd", "cnn_kd", "cnn_htc"]


def test_a_failure_is_shown_and_the_others_go_on(runs, tmp_path):
  runs.errors["cnn_kd"] = JaxkdError("No such data.")
  with pytest.raises(JaxkdError, match="1 of 3 cells failed: cnn_kd"):
    runner.run(a_table(), tmp_path)
  assert runs.done[-1] == "cnn_htc"
  text = (tmp_path / "table.md").read_text()
  assert "| CNN | failed (81.50) | 70.00 (87.38) |" in text
  assert "Failed: cnn_kd" in text
  cells = json.loads((tmp_path / "table.json").read_text())["cells"]
  assert [cell["failed"] for cell in cells] == [None, "No such data.", None]
  assert (tmp_path / "report.html").exists()
  runs.errors.clear()
  runner.run(a_table(), tmp_path)
  assert runs.done[3:] == ["cnn_kd"]
  assert "failed" not in (tmp_path / "table.md").read_text()


def test_a_signal_stops_the_table_at_once(runs, tmp_path):
  runs.errors["mob_kd"] = Preempted()
  with pytest.raises(Preempted):
    runner.run(a_table(), tmp_path)
  assert runs.done == ["mob_kd"]


def test_another_cell_is_refused_and_another_title_is_not(runs, tmp_path):
  runner.run(a_table(), tmp_path)
  other = a_table()
  other.title, other.cells.cnn_kd.published = "Another", 1.0
  runner.run(other, tmp_path)
  other.cells.cnn_kd.config.seed = 1
  with pytest.raises(JaxkdError, match=r"cells.cnn_kd.config.seed \(0, now 1"):
    runner.run(other, tmp_path)


def test_the_table_in_markdown(runs, tmp_path):
  runner.run(a_table(), tmp_path)
  title, _, *rows, _, origin = (
    (tmp_path / "table.md").read_text().strip().splitlines()
  )
  assert title == "# A | title"
  assert rows == [
    "|  | KD | HTC |",
    "| --- | ---: | ---: |",
    "| Mob | 12.30 | – |",
    "| CNN | 80.00 (81.50) | 70.00 (87.38) |",
  ]
  for part in (
    "in percent", "3 of 3", "2024-01-02 on 2 × cpu, commit abc123",
    "Seeds per cell: 1.", "Test data chose nothing.",
  ):  # fmt: skip
    assert part in origin, part


def test_seeds_have_a_deviation(runs, tmp_path):
  runs.changes["mob_kd"] = {"student": {"accuracy_std": 0.01, "seeds": 3}}
  runner.run(a_table(), tmp_path)
  text = (tmp_path / "table.md").read_text()
  assert "| Mob | 12.30 ± 1.00 | – |" in text
  assert "Seeds per cell: 1, 3, mean ± standard deviation." in text


def test_an_interval_stands_beside_its_number(runs, tmp_path):
  student = {"accuracy_interval": [0.775, 0.822]}
  runs.changes["cnn_kd"] = {"student": student}
  runner.run(a_table(), tmp_path)
  text = (tmp_path / "table.md").read_text()
  assert "| CNN | 80.00 [77.50, 82.20] (81.50) | 70.00 (87.38) |" in text
  assert "Square brackets hold 95 % intervals" in text
  line = lines_of(tmp_path)["cnn_kd"]
  bounds = float(line["low"]), float(line["high"])
  assert bounds == pytest.approx((77.5, 82.2))


def test_a_grid_gets_a_column_for_the_oracle(runs, tmp_path):
  runs.changes["cnn_htc"] = {"grid": GRID}
  runner.run(a_table(), tmp_path)
  text = (tmp_path / "table.md").read_text()
  assert "|  | KD | HTC | HTC (oracle) |" in text
  assert "| Mob | 12.30 | – | – |" in text
  assert "| CNN | 80.00 (81.50) | 70.00 (87.38) | 75.00 |" in text
  assert "except in the columns (oracle)" in text
  line = lines_of(tmp_path)["cnn_htc"]
  assert line["chosen"] == "alpha=0.9 temperature=50"
  assert float(line["oracle"]) == pytest.approx(75)


def test_csv_has_a_line_for_each_cell(runs, tmp_path):
  runner.run(a_table(), tmp_path)
  line = lines_of(tmp_path)["cnn_kd"]
  assert line == {
    "cell": "cnn_kd", "row": "CNN", "column": "KD", "value": "80.0", "std": "",
    "low": "", "high": "", "oracle": "", "published": "81.5",
    "unit": "percent", "seeds": "1", "device": "2 × cpu", "date": DATE,
    "commit": "abc123",
    "workdir": "cells/cnn_kd", "chosen": "alpha=0.5", "failed": "",
  }  # fmt: skip


def test_other_numbers_of_a_report(runs, tmp_path):
  config = a_table(unit="nats")
  for cell in config.cells.values():
    cell.value = "guide.kl_to_normal"
  runs.changes = {
    name: {"guide": {"kl_to_normal": 0.44461}} for name in ("cnn_kd", "mob_kd")
  }
  with pytest.raises(JaxkdError, match="cells failed: cnn_htc"):
    runner.run(config, tmp_path)
  text = (tmp_path / "table.md").read_text()
  assert "| CNN | 0.4446 (81.5000) | failed (87.3800) |" in text
  assert "no such number" in lines_of(tmp_path)["cnn_htc"]["failed"]


def test_the_page_is_escaped(runs, tmp_path):
  config = a_table()
  config.title = "<b>1 & 2</b>"
  runner.run(config, tmp_path)
  html = (tmp_path / "report.html").read_text()
  assert "<h1>&lt;b&gt;1 &amp; 2&lt;/b&gt;</h1>" in html
  assert "<td>80.00 (81.50)</td>" in html


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("rows", ("CMN", "Mob"), "Did you mean CMN"),
    ("columns", ("KD",), "cells.cnn_htc.column"),
    ("unit", "nat", "Did you mean nats"),
    ("figures", ("bar",), "Did you mean bars"),
  ],
)
def test_a_table_that_cannot_be(runs, tmp_path, field, value, message):
  config = a_table()
  config[field] = value
  with pytest.raises(JaxkdError, match=message):
    runner.run(config, tmp_path)
  assert not runs.done


def test_two_cells_in_one_place_or_a_name_that_is_no_folder(runs, tmp_path):
  config = a_table()
  config.cells.cnn_htc.column = "KD"
  with pytest.raises(JaxkdError, match="cnn_htc and cnn_kd have the same row"):
    runner.run(config, tmp_path)
  cells = {"a/b": a_table().cells.cnn_kd}
  config = configs.table("t", "t", ("CNN",), ("KD",), cells)
  with pytest.raises(JaxkdError, match="letters, digits"):
    runner.run(config, tmp_path)


def test_a_cell_is_told_whether_it_beats_its_control(runs, tmp_path):
  config = a_table()
  config.cells.cnn_kd.control = "cnn_htc"
  config.cells.mob_kd.control = "cnn_htc"
  runner.run(config, tmp_path)
  better = "CNN, KD: better than its control HTC (80.00 against 70.00)."
  worse = "Mob, KD: NOT better than its control HTC (12.30 against 70.00)."
  text = (tmp_path / "table.md").read_text()
  assert f"\n\n- {worse}\n- {better}\n\n" in text
  assert f"<li>{worse}</li>" in (tmp_path / "report.html").read_text()


def test_a_control_is_a_cell_of_the_table(runs, tmp_path):
  config = a_table()
  config.cells.cnn_kd.control = "cnn_htd"
  with pytest.raises(JaxkdError, match="Did you mean cnn_htc"):
    runner.run(config, tmp_path)


def test_cells_do_not_share_a_config():
  config = ConfigDict({"seed": 0})
  cells = {row: configs.cell(row, "x", config) for row in "ab"}
  table = configs.table("t", "t", "ab", "x", cells)
  table.cells.a.config.seed = 1
  assert table.cells.b.config.seed == 0


def toy_table():
  config = configs.load_config("configs/cake.py:dataset=two_moons,smoke")
  config.teacher.epochs = config.student.epochs = 1
  other = ConfigDict(config.to_dict())
  other.seed = 1
  wrong = ConfigDict(config.to_dict())
  wrong.synthesis.set_size = 101
  cells = {
    "zero": configs.cell("moons", "seed 0", config),
    "one": configs.cell("moons", "seed 1", other),
    "wrong": configs.cell("moons", "wrong", wrong),
  }
  columns = ("seed 0", "seed 1", "wrong")
  figures = ("bars", "temperature", "features", "sweep")
  return configs.table("toy", "Toy", ["moons"], columns, cells, figures=figures)


def test_the_plan_marks_finished_and_refused_cells(tmp_path):
  done = tmp_path / "cells" / "zero"
  done.mkdir(parents=True)
  (done / "report.json").write_text(json.dumps(report_of("cnn_kd")))
  text = runner.describe(toy_table(), tmp_path)
  assert "zero: moons, seed 0\n  finished" in text
  assert "one: moons, seed 1\nnetworks" in text
  assert "refused: set_size=101 is not a multiple" in text
  assert "step_size" not in text  # of the config
  assert list(tmp_path.iterdir()) == [tmp_path / "cells"]


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("synthesis.set_size", 101, "set_size=101 is not a multiple"),
    ("student.model", "mpl", "Did you mean mlp"),
    ("dataset", "/nowhere/data", "/nowhere/data"),
    (
      "teacher.checkpoint",
      "/nowhere/t.safetensors",
      "teacher.checkpoint: Ther",
    ),
  ],
)
def test_all_cells_are_checked_before_the_first_runs(
  monkeypatch, tmp_path, field, value, message
):
  monkeypatch.setattr(distill, "distill", None)  # it would fail when called
  table = toy_table()
  table.cells.wrong.config = table.cells.one.config.to_dict()
  table.cells.wrong.config.update_from_flattened_dict({field: value})
  with pytest.raises(JaxkdError) as refused:
    runner.run(table, tmp_path)
  text = str(refused.value)
  assert text.startswith("cells.wrong.config: ")
  assert message in text
  assert "Nothing was run" in text
  assert not list(tmp_path.iterdir())  # a corrected table may use the folder


def test_a_finished_cell_needs_nothing_any_more(tmp_path):
  table = toy_table()
  (tmp_path / "cells" / "wrong").mkdir(parents=True)
  report = json.dumps(report_of("cnn_kd"))
  (tmp_path / "cells" / "wrong" / "report.json").write_text(report)
  runner.check_cells(table, tmp_path)
  table.cells.one.config.teacher.checkpoint = "/nowhere/t.safetensors"
  with pytest.raises(JaxkdError, match=r"cells.one.config: teacher.checkpoint"):
    runner.check_cells(table, tmp_path)
  (tmp_path / "cells" / "one").mkdir()
  (tmp_path / "cells" / "one" / "teacher.safetensors").touch()
  runner.check_cells(table, tmp_path)  # the run has a copy


@pytest.mark.slow
def test_real_cells_and_their_figures(tmp_path, capsys):
  table = toy_table()
  del table.cells.wrong
  for _ in range(2):
    runner.run(table, tmp_path)
  out = capsys.readouterr().out
  assert "1/2 zero: finished before" in out
  assert "figure sweep" in out  # there is no grid
  names = {path.name for path in tmp_path.glob("*.png")}
  assert names == {"bars.png", "temperature.png", "features.png"}
  html = (tmp_path / "report.html").read_text()
  assert html.count("data:image/png") == 3


def test_a_damaged_report_of_a_cell_is_named(tmp_path):
  assert cell_runs.read_report(tmp_path) is None
  (tmp_path / "report.json").write_text("{")
  with pytest.raises(JaxkdError, match="report.json cannot be read"):
    cell_runs.read_report(tmp_path)
  (tmp_path / "report.json").write_text('{"student": {}}')
  with pytest.raises(JaxkdError, match="has no config, student.seeds, devices"):
    cell_runs.read_report(tmp_path)


def test_a_last_row_has_the_mean_of_every_column():
  run = configs.load_config("configs/cake.py:dataset=two_moons,smoke")
  cells = {
    f"{name}_{seed}": configs.cell(f"seed {seed}", name, run, value=name)
    for seed in (0, 1)
    for name in ("teacher", "student")
  }
  table = configs.table(
    "toy",
    "Toy",
    ["seed 0", "seed 1"],
    ("teacher", "student"),
    cells,
    mean=True,
  )
  values = {"teacher_0": 99.0, "teacher_1": 97.0, "student_0": 90.0}
  made = [
    empty_record(table, name) | {"value": values.get(name)} for name in cells
  ]
  assert page.layout(table, made)[-1] == ["mean", "98.00 ± 1.41", "90.00"]


def test_a_field_of_the_runs_is_not_one_of_the_table():
  table = a_table()
  with pytest.raises(
    JaxkdError, match=r"--config.cells.cnn_\w+.config.teacher"
  ):
    runner.refuse_fields_of_runs(table, ["unit", "teacher.url"])
  table.prices = ("accuracy", "error")
  with pytest.raises(JaxkdError, match="served .* changed from outside"):
    runner.refuse_fields_of_runs(table, ["teacher.url"])
  with pytest.raises(JaxkdError, match="each of its runs has"):
    runner.refuse_fields_of_runs(table, ["queries.budget"])
