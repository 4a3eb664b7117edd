"""The whole run in the toy world: two moons, a small MLP, seconds."""

import json
from pathlib import Path

from network_weights import same
import numpy as np
import pytest

import jaxkd
from jaxkd import data
from jaxkd.runtime import environment
from jaxkd.runtime.metrics import read_metrics
from jaxkd.tables import results
from jaxkd.tables.rows import differences

CONFIGS = Path(__file__).parents[2] / "configs"


def small(name="cake", dataset="two_moons", **fields):
  config = jaxkd.load_config(f"{CONFIGS}/{name}.py:dataset={dataset},smoke")
  if name == "generative":
    return config
  config.update_from_flattened_dict({"synthesis.sets_per_round": 2} | fields)
  return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """One uninterrupted run, and its folder; a commit is made beside it."""
  folder = tmp_path_factory.mktemp("whole")

  def commit(_):
    return "after" if (folder / "metrics.jsonl").exists() else "before"

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(environment, "commit", commit)
    return *jaxkd.distill(None, small(), folder), folder


def test_a_run_leaves_everything_behind(whole):
  _, report, folder = whole
  for name in (
    "report.json", "report.html", "metrics.jsonl", "student.safetensors",
    "teacher.safetensors", "curves.png", "decision_boundary.png",
    "config.json",
  ):  # fmt: skip
    assert (folder / name).stat().st_size > 0, name
  saved = json.loads((folder / "report.json").read_text())
  assert saved["student"]["agreement"] == report["student"]["agreement"]


def test_the_report_has_what_scripts_rely_on(whole):
  saved = json.loads((whole[2] / "report.json").read_text())
  fields = {
    "teacher": "model accuracy parameters bytes flops latency_ms",
    "student": "model accuracy accuracy_std agreement kl parameters bytes "
    "flops latency_ms seeds",
    "data_free": "samples agreement kl calibration_error teacher_coverage "
    "student_coverage answer_entropy diversity duplicates predicted",
    "synthesis": "images steps image_steps_per_s seconds",
    "queries": "spent budget by_class",
    "seconds": "teacher synthesis student total",
  }
  for section, names in fields.items():
    assert set(names.split()) <= saved[section].keys(), section
  assert {
    "method", "dataset", "config", "versions", "devices", "commit",
  } <= saved.keys()  # fmt: skip
  assert saved["commit"] == "before"
  assert saved["synthesis"]["images"] == 400
  assert saved["queries"]["spent"] == 0


def test_intervals_and_classes_fit_the_scores(whole):
  saved = json.loads((whole[2] / "report.json").read_text())
  teacher, student, classes = (
    saved[name] for name in ("teacher", "student", "classes")
  )
  count = saved["test_images"]
  for block, name in (
    (teacher, "accuracy"), (student, "accuracy"), (student, "agreement"),
  ):  # fmt: skip
    low, high = block[f"{name}_interval"]
    assert low <= block[name] <= high and low < high
  for block, name in ((teacher, "teacher"), (student, "student")):
    right = np.dot(classes["images"], classes[f"{name}_accuracy"])
    assert right / count == pytest.approx(block["accuracy"])
  confusion = np.asarray(classes["confusion"])
  assert confusion.sum() == count
  assert np.trace(confusion) / count == pytest.approx(student["agreement"])
  assert (whole[2] / "confusion.png").exists()


def test_a_run_can_be_recorded_as_a_result(whole):
  saved = json.loads((whole[2] / "report.json").read_text())
  run = results.record_of(whole[2], saved | {"commit": "c0ffee"})
  assert run["seed"] == 0 and run["student"]["accuracy"] is not None
  assert run["cores"] == saved["cores"]
  assert not differences(small(), saved["config"])
  longer = small(**{"student.epochs": 7})
  assert differences(longer, saved["config"]) == [
    "student.epochs 7, recorded 2"
  ]


def test_the_saved_student_is_the_returned_one(whole):
  student, _, folder = whole
  loaded, spec = jaxkd.load_classifier(folder / "student.safetensors")
  assert spec.shape == (2,)
  same(loaded, student)


def test_the_same_folder_again_gives_the_same_without_work(whole):
  student, _, folder = whole
  lines = len(read_metrics(folder))
  again, _ = jaxkd.distill(None, small(), folder)
  assert len(read_metrics(folder)) == lines
  same(again, student)


@pytest.mark.slow  # `test_black_box_runs.py` stops a quicker run
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_stopped_anywhere_it_ends_in_the_identical_student(
  whole, tmp_path, stopped_at, stop_after
):
  with stopped_at(stop_after):
    jaxkd.distill(None, small(), tmp_path)
  student, _ = jaxkd.distill(None, small(), tmp_path)
  same(student, whole[0])
  steps = [(r["stage"], r["step"]) for r in read_metrics(tmp_path)]
  assert len(steps) == len(set(steps))
  assert steps.count(("student", 2)) == 1


@pytest.mark.slow
def test_several_seeds_report_mean_and_deviation(tmp_path):
  _, report = jaxkd.distill(None, small(**{"student.seeds": 3}), tmp_path)
  accuracies = report["student"]["accuracies"]
  assert len(accuracies) == report["student"]["seeds"] == 3
  assert report["student"]["accuracy"] == pytest.approx(np.mean(accuracies))
  assert report["student"]["accuracy_std"] == pytest.approx(
    np.std(accuracies, ddof=1)
  )
  predicted = report["data_free"]["predicted"]
  assert predicted["agreement"] == report["student"]["agreement"]
  assert predicted["estimate"] == report["student"]["synthetic_agreement"]


def test_a_given_teacher_without_any_images(tmp_path):
  spec = jaxkd.DataSpec("mine", (2,), 2, (0.0, 0.0), (1.0, 1.0))

  def stripes(variables, images):
    return images @ variables["w"]

  teacher = jaxkd.from_function(stripes, {"w": np.eye(2, dtype=np.float32)})
  student, report = jaxkd.distill(
    teacher,
    small(),
    tmp_path,
    dataset=jaxkd.Dataset.without_images(spec),
  )
  assert report["student"]["accuracy"] is None
  assert report["data_free"]["predicted"] is None
  assert report["data_free"]["samples"] > 0
  assert 0 <= report["student"]["synthetic_agreement"] <= 1
  assert student(np.zeros((1, 2), np.float32)).logits.shape == (1, 2)
  other = teacher.replace(variables={"w": -np.eye(2, dtype=np.float32)})
  with pytest.raises(jaxkd.JaxkdError, match="plan.teacher"):
    jaxkd.distill(
      other, small(), tmp_path, dataset=jaxkd.Dataset.without_images(spec)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
  "name",
  ["generative", "lake", "naive"],
)
def test_other_methods_draw_the_toy_too(tmp_path, name):
  jaxkd.distill(None, small(name), tmp_path)
  assert (tmp_path / "decision_boundary.png").exists()


@pytest.mark.slow
def test_images_run_end_to_end(tmp_path):
  digits = data.load("mnist_5k", image_size=8)
  few = jaxkd.Dataset(digits.spec, *(array[:200] for array in digits[1:]))
  config = small(dataset="mnist_5k")
  config.teacher.model = config.student.model = "mlp"
  _, report = jaxkd.distill(None, config, tmp_path, dataset=few)
  assert (tmp_path / "samples.png").exists()
  assert report["synthesis"]["images"] == 400
  assert 0 <= report["student"]["accuracy"] <= 1
