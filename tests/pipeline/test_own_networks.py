"""Whole runs with networks of the user's own, which the config names."""

import importlib
import json
from pathlib import Path
import sys

import jax
from network_weights import same
import numpy as np
import pytest

import jaxkd
from jaxkd import config as c, data, models
from jaxkd.export.__main__ import main as export
from jaxkd.import_teacher import main as import_teacher
from jaxkd.pipeline import plan
from jaxkd.serialization import bundle, weights
from jaxkd.tables import runner

CONFIGS = Path(__file__).parents[2] / "configs"
LINEN, NNX = "own_code.networks:linen", "own_code.networks:nnx_module"
TRAP = "trap:student"


def small(teacher="mlp", student=LINEN, **fields):
  config = jaxkd.load_config(
    f"{CONFIGS}/cake.py:dataset=two_moons,smoke,teacher={teacher},"
    f"student={student}"
  )
  fields = {
    "synthesis.sets_per_round": 2,
    "student.seeds": 2,
    "student.epochs": 40,
  } | fields
  config.update_from_flattened_dict(fields)
  return config


@pytest.fixture(scope="module")
def linen(tmp_path_factory):
  """A run with a student of the user's own, and its folder."""
  folder = tmp_path_factory.mktemp("linen")
  return *jaxkd.distill(None, small(), folder), folder


@pytest.fixture(scope="module")
def nnx(tmp_path_factory):
  """A run with teacher and students of the user's own, on a grid."""
  folder = tmp_path_factory.mktemp("nnx")
  config = small(teacher=LINEN, student=NNX)
  config.grid = {"temperature": (1.0, 20.0)}
  return *jaxkd.distill(None, config, folder), folder


@pytest.mark.parametrize(
  "run", ["linen", pytest.param("nnx", marks=pytest.mark.slow)]
)
def test_a_student_of_ones_own_is_trained_and_comes_back(request, run):
  student, report, folder = request.getfixturevalue(run)
  name = {"linen": LINEN, "nnx": NNX}[run]
  assert report["student"]["model"] == student.name == name
  assert report["student"]["accuracies"][0] > 0.75
  assert report["student"]["seeds"] == 2
  path = folder / "student.safetensors"
  found, spec = jaxkd.load_classifier(path, model=name)
  same(found, student)
  points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
  np.testing.assert_array_equal(found(points).logits, student(points).logits)
  with pytest.raises(jaxkd.JaxkdError, match=f"not imported.*--model={name}"):
    jaxkd.load_classifier(path)
  with pytest.raises(jaxkd.JaxkdError, match="does not fit own_code"):
    jaxkd.load_classifier(path, model="own_code.networks:wide")
  assert spec.name == "two_moons"


@pytest.mark.slow  # the run of `nnx`
def test_seeds_and_points_of_the_grid_differ(nnx):
  _, report, _ = nnx
  points = report["grid"]["points"]
  assert [point["temperature"] for point in points] == [1.0, 20.0]
  assert report["teacher"]["model"] == LINEN
  assert report["teacher"]["accuracy"] > 0.75


def test_batch_statistics_and_counters_were_kept(linen):
  student, report, _ = linen
  stats = student.variables["batch_stats"]["BatchNorm_0"]
  assert np.abs(stats["mean"]).min() > 0
  config = report["config"]["student"]
  images = report["synthesis"]["images"] - report["data_free"]["samples"]
  steps = config["epochs"] * (images // config["batch_size"])
  assert student.variables["counts"]["batches"] == steps


@pytest.mark.slow
def test_a_stopped_run_ends_in_the_identical_student(
  linen, tmp_path, stopped_at
):
  for number in (1, 3):
    with stopped_at(number):
      jaxkd.distill(None, small(), tmp_path)
  student, _ = jaxkd.distill(None, small(), tmp_path)
  same(student, linen[0])


def test_a_plan_counts_their_parameters():
  text = plan.describe(small(teacher=LINEN, student=NNX))
  spec = data.spec("two_moons")
  student = models.init(NNX, jax.random.key(0), spec).variables
  assert f"teacher: {LINEN}, 58 parameters" in text
  count = models.count_parameters(student)
  assert f"student: {NNX}, {count} parameters" in text


def table():
  return c.table(
    "own",
    "Students of one's own.",
    ("linen",),
    ("accuracy",),
    {"linen": c.cell("linen", "accuracy", small())},
  )


def test_a_table_may_have_cells_with_them(tmp_path):
  assert f"student: {LINEN}" in runner.describe(table(), tmp_path)


@pytest.mark.slow  # the run of `linen` once more
def test_a_table_runs_cells_with_them(tmp_path):
  (cell,) = runner.run(table(), tmp_path)["cells"]
  assert cell["failed"] is None
  assert cell["value"] > 75


def test_a_student_of_ones_own_is_exported(linen, tmp_path, capsys):
  student, _, workdir = linen
  command = ["student", f"--workdir={workdir}", f"--out={tmp_path / 'out'}"]
  with pytest.raises(SystemExit) as refused:
    export(command)
  assert refused.value.code == 2
  assert f"--model={LINEN}" in capsys.readouterr().err
  assert export([*command, f"--model={LINEN}"]) == 0
  found = bundle.read(tmp_path / "out", LINEN)
  assert found.card.architecture == LINEN
  same(found.classifier, student)
  with pytest.raises(jaxkd.JaxkdError, match="is not imported"):
    bundle.read(tmp_path / "out")


@pytest.mark.slow  # a run of its own
def test_it_is_a_teacher_for_a_run_that_names_it(linen, tmp_path):
  student, _, workdir = linen
  checkpoint = str(workdir / "student.safetensors")
  config = small(LINEN, "mlp", **{"teacher.checkpoint": checkpoint})
  config.student.epochs = 1
  jaxkd.distill(None, config, tmp_path)
  path = tmp_path / "teacher.safetensors"
  same(jaxkd.load_classifier(path, model=LINEN)[0], student)
  config.teacher.model = "mlp"
  with pytest.raises(jaxkd.JaxkdError, match="is not imported"):
    jaxkd.distill(None, config, tmp_path / "other")


def test_a_name_inside_a_file_is_never_imported(
  linen, tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.delitem(sys.modules, "trap", raising=False)
  Path("trap.py").write_text('import pathlib; pathlib.Path("sprung").touch()\n')
  importlib.invalidate_caches()
  student, _, workdir = linen
  spec = jaxkd.load_classifier(workdir / "student.safetensors", LINEN)[1]
  weights.write(Path("file.safetensors"), student, spec, TRAP)
  export(
    ["student", f"--workdir={workdir}", "--out=trapped", f"--model={LINEN}"]
  )
  card = json.loads(Path("trapped/student.json").read_text())
  card["architecture"] = TRAP
  Path("trapped/student.json").write_text(json.dumps(card))
  config = small(**{"teacher.checkpoint": "file.safetensors"})
  for refuse in (
    lambda: jaxkd.load_classifier("file.safetensors"),
    lambda: bundle.read("trapped"),
    lambda: jaxkd.distill(None, config, "run"),
    lambda: plan.describe(small(**{"teacher.checkpoint": "trapped"})),
  ):
    with pytest.raises(jaxkd.JaxkdError, match="trap:student .*not imported"):
      refuse()
  for command in (
    lambda: export(["student", "--checkpoint=file.safetensors", "--out=out"]),
    lambda: export(["predict", "--student=trapped", "."]),
    lambda: import_teacher(["file.safetensors", "--out=out", "--unchecked"]),
  ):
    with pytest.raises(SystemExit):
      command()
    assert "not imported" in capsys.readouterr().err
  assert not Path("sprung").exists()
  with pytest.raises(jaxkd.JaxkdError, match="trap has no function student"):
    jaxkd.load_classifier("file.safetensors", model=TRAP)
  assert Path("sprung").exists()  # where the user named it
