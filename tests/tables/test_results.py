"""Tests of the records of results, and of the page that is made of them."""

import hashlib
import json
import re

import pytest
from report_example import a_report

from jaxkd.tables import __main__ as command, results, results_page
from jaxkd.tables.rows import Row, read_rows
from jaxkd.types import JaxkdError

ROW = Row(
  "configs/cake.py:dataset=two_moons", {}, "a figure", "98.4 (99.3)", "no time",
  "configs/{cake,lake}.py:dataset=two_moons", False,
)  # fmt: skip
OTHER = ROW._replace(config="configs/lake.py:dataset=two_moons")
TABLE = ROW._replace(config="configs/kl_table.py", pattern="", is_table=True)
ROWS = (TABLE, ROW, OTHER)


@pytest.fixture
def run(tmp_path):
  """Makes the folder of a finished run of `ROW`."""

  def make(name, seed=0, date="2026-01-01", row=ROW, **changes):
    config = json.loads(json.dumps(row.load().to_dict())) | {"seed": seed}
    fields = {"student.epochs": None, **changes.pop("config", {})}
    if fields["student.epochs"]:
      config["student"]["epochs"] = fields["student.epochs"]
    changes = {"commit": "a" * 40, "student__seeds": 1, **changes}
    report = a_report(config=config, date=f"{date}T00:00:00+00:00", **changes)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
    return folder

  return make


@pytest.fixture
def record(tmp_path):
  """Records runs; returns what stands in the file afterwards, and the lines."""

  def made(*folders):
    path, lines = results.record(folders, ROWS, tmp_path / "results")
    return json.loads(path.read_text()), lines

  return made


def test_the_readme_is_rendered_from_the_records():
  rows = read_rows()
  section = results_page.render(rows, results.read_records(rows))
  _, current, _ = results_page.split(results_page.README)
  assert current == section, "run python -m jaxkd.tables results"


def test_records_are_complete():
  rows = read_rows()
  records = results.read_records(rows)
  for row in rows:
    if content := records.get(row.record_name):
      assert (content["config"], content["overrides"]) == (
        row.config,
        json.loads(json.dumps(row.overrides)),
      )
      runs = content["runs"]
      assert runs
      if row.is_table:  # runs by the names of their cells
        runs = runs.values()
      else:
        seeds = [run["seed"] for run in runs]
        assert seeds == sorted(set(seeds))
      for run in runs:
        assert re.fullmatch("[0-9a-f]{64}", run["report_sha256"])
        assert re.fullmatch("[0-9a-f]{40}(-dirty)?", run["commit"])
        assert run["devices"] and run["versions"] and run["date"]
        for block, names in results.KEPT.items():
          assert run[block].keys() == set(names)


def test_a_record_holds_what_the_report_says_and_its_hash(run, record):
  folder = run("one", seed=3, student__accuracy=0.61, cores=2)
  content, lines = record(folder)
  assert lines == ["configs/cake.py:dataset=two_moons: seeds 3"]
  assert content["config"] == ROW.config
  assert content["values"]["synthesis"]["num_sets"] == 40
  (only,) = content["runs"]
  report = (folder / "report.json").read_bytes()
  assert only["report_sha256"] == hashlib.sha256(report).hexdigest()
  assert only["seed"] == 3 and only["cores"] == 2
  assert only["student"]["accuracy"] == 0.61
  assert only["teacher"] == {"model": "lenet5", "accuracy": 0.8}
  assert only["queries"] == {"access": "label", "budget": 25000, "spent": 2500}


def test_seeds_gather_and_the_later_run_of_a_seed_stays(run, record):
  record(run("a", seed=1), run("b", seed=0))
  content, _ = record(run("c", seed=1, date="2026-01-02", commit="b" * 40))
  assert [run["seed"] for run in content["runs"]] == [0, 1]
  assert content["runs"][1]["commit"] == "b" * 40
  content, lines = record(run("d", seed=1, date="2025-01-01", commit="c" * 40))
  assert content["runs"][1]["commit"] == "b" * 40
  assert "kept seed 1 of 2026-01-02T00:00:00+00:00" in lines


def test_runs_of_one_record_differ_in_their_seeds_alone(run, record):
  with pytest.raises(JaxkdError, match="b has seed 0, as a run before it"):
    record(run("a"), run("b"))
  longer = run("c", seed=1, config={"student.epochs": 7})
  with pytest.raises(JaxkdError, match="student.epochs 30, recorded 7"):
    record(run("d"), longer)
  with pytest.raises(JaxkdError, match="dynamics"):
    record(run("e"), run("f", seed=1, row=OTHER))


def test_a_run_of_no_row_names_the_nearest(run, record):
  with pytest.raises(JaxkdError) as error:
    record(run("a", row=OTHER, config={"student.epochs": 7}))
  assert "the nearest is configs/lake.py:dataset=two_moons" in str(error.value)
  assert "student.epochs 30, recorded 7" in str(error.value)


def test_runs_of_another_config_are_dropped(run, record, tmp_path):
  record(run("a", seed=0))
  (path,) = (tmp_path / "results").glob("*.json")
  content = json.loads(path.read_text())
  content["values"]["student"]["epochs"] = 7
  path.write_text(json.dumps(content))
  content, lines = record(run("b", seed=1))
  assert [run["seed"] for run in content["runs"]] == [1]
  assert any(line.startswith("dropped 1 ") for line in lines)


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    ({"student__accuracy": None}, "no test data"),
    ({"commit": None}, "outside of a checkout"),
    ({"queries": {"access": "label"}}, "lacks queries.budget, queries.spent"),
  ],
)
def test_numbers_without_origin_are_not_recorded(run, record, change, reason):
  with pytest.raises(JaxkdError, match=reason):
    record(run("a", **change))


def rendered(run, record, *runs, **values):
  content, _ = record(*(run(f"r{i}", seed=i, **r) for i, r in enumerate(runs)))
  content["values"]["student"] |= values
  return results_page.render(ROWS, {ROW.record_name: content})


def test_the_page_has_mean_and_deviation_over_the_seeds(run, record):
  text = rendered(
    run,
    record,
    {"student__accuracy": 0.96, "cores": 2},
    {"student__accuracy": 0.98, "cores": 2, "commit": "b" * 40 + "-dirty"},
  )
  (line,) = [x for x in text.splitlines() if x.startswith("| `configs/cake")]
  assert line.split(" | ")[1:] == [
    "a figure", "98.4 (99.3)", "80.0 ± 0.00 [78.2, 81.7]",
    "97.0 ± 1.41 [96.2, 97.7]", "70.0 ± 0.00 [68.0, 72.0]",
    "2,500 (label)", "0, 1", "2 × cpu of 2 cores, 2 min 22 s",
    "2026-01-01 aaaaaaa, 2026-01-01 bbbbbbb with changes |",
  ]  # fmt: skip


def test_the_page_says_what_a_single_run_was(run, record):
  text = rendered(
    run,
    record,
    {
      "student__seeds": 3,
      "student__agreement": None,
      "queries__access": "white_box",
      "seconds__teacher": 0.0,
      "test_images": None,
    },
  )
  assert "| 80.0 | 60.0 ± 1.20 | – | white box, 2,000 images |" in text
  assert "| 0 (3 students) |" in text and "a teacher was at hand" in text


def test_the_page_marks_what_is_outdated_and_lists_what_was_not_run(
  run, record
):
  text = rendered(run, record, {}, epochs=7)
  assert "(outdated: student.epochs 30, recorded 7)" in text
  assert "| `configs/lake.py:dataset=two_moons` | a figure |" in text
  assert "`configs/{cake,lake}.py:dataset=two_moons`" in (
    results_page.render(ROWS, {})
  )


def test_a_record_without_a_row_is_refused(tmp_path):
  (tmp_path / "gone.json").write_text("{}")
  with pytest.raises(JaxkdError, match="gone.json is the record of no row"):
    results.read_records(ROWS, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"config": 1}', "\x00"])
def test_a_damaged_record_is_named(tmp_path, run, text):
  path = tmp_path / ROW.record_name
  path.write_text(text)
  with pytest.raises(JaxkdError, match=f"{path} is no record of results"):
    results.read_records(ROWS, tmp_path)
  with pytest.raises(JaxkdError, match=f"{path} is no record of results"):
    results.record([run("one")], ROWS, tmp_path)


def test_only_the_section_of_the_readme_changes(tmp_path):
  readme = tmp_path / "README.md"
  readme.write_text(f"a\n{results_page.BEGIN}\nold\n{results_page.END}\nb\n")
  results_page.write(readme, "new\n")
  assert readme.read_text() == (
    f"a\n{results_page.BEGIN}\nnew\n{results_page.END}\nb\n"
  )
  readme.write_text("a\n")
  with pytest.raises(JaxkdError, match="lacks the line"):
    results_page.write(readme, "new\n")


def test_the_command_names_what_is_wrong(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    command.main(["record", str(tmp_path)])
  assert stopped.value.code == 2
  assert "report.json does not exist" in capsys.readouterr().err


def test_a_record_renders_the_page(tmp_path, monkeypatch, capsys):
  readme = tmp_path / "README.md"
  readme.write_text(f"{results_page.BEGIN}\nold\n{results_page.END}\n")
  monkeypatch.setattr(results_page, "README", readme)
  written = (tmp_path / "row.json", ["1 run"])
  monkeypatch.setattr(command, "record", lambda workdirs, rows: written)
  command.main(["record", str(tmp_path)])
  assert "old" not in readme.read_text()
  assert str(readme) in capsys.readouterr().out
