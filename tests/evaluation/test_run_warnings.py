"""Warnings appear where a person would want one, and nowhere else."""

import json

import pytest
from report_example import a_report

import jaxkd
from jaxkd.config.files import PACKAGE
from jaxkd.evaluation import run_warnings
from jaxkd.report.page import write_html
from jaxkd.report.summary import summary
from jaxkd.tables.rows import RESULTS

# Recorded runs that are as they should be; others may well be at chance.
HEALTHY = (
  "audit_dataset_mnist_5k_attack_procedural",
  "cake_dataset_fashion_mnist_recipe_ours",
  "cake_dataset_mnist_5k",
  "cake_dataset_mnist_recipe_ours",
  "cake_dataset_two_moons",
  "generative_dataset_two_moons",
  "lake_dataset_two_moons",
  "naive_dataset_two_moons",
  "procedural_dataset_fashion_mnist_budget_25000_access_label_select_student",
  "procedural_dataset_mnist_budget_25000_access_label_select_none",
  "procedural_dataset_mnist_budget_25000_access_label_select_student",
  "procedural_dataset_mnist_budget_5000_access_label_select_none",
  "procedural_dataset_mnist_budget_5000_access_label_select_student",
)


def report(teacher=0.9, student=0.8, classes=4, images=1000, **changes):
  made = a_report(test_images=images, **changes)
  made["teacher"] = {**made["teacher"], "accuracy": teacher}
  made["student"] = {
    **made["student"],
    "accuracy": student,
    "agreement": student,
    "synthetic_agreement": 0.95,
  }
  return made


def find(*arguments, classes=4, **changes):
  return run_warnings.find(report(*arguments, **changes), classes)


def test_a_healthy_run_has_none():
  assert not find(0.9, 0.8)
  assert not find(None, None)


def test_a_student_at_chance():
  (line,) = find(0.9, 0.25)
  assert "The student is at chance: 25.0 % of the test images, of 4" in line
  assert "student.epochs" in line
  assert "chance" not in "".join(find(0.9, 0.3))
  assert not find(0.9, 0.55, classes=2)
  assert find(0.9, 0.52, classes=2)


def test_a_teacher_at_chance_explains_its_student():
  (line,) = find(0.26, 0.25)
  assert "The teacher is at chance" in line


def test_a_student_that_follows_on_its_own_images_alone():
  (line,) = find(0.9, 0.4)
  assert "on 95.0 % of the held-out images" in line
  assert "on 40.0 % of the test images" in line


@pytest.mark.parametrize(("kl", "warned"), [(0.076, True), (2.5, False)])
def test_a_defence_that_changed_nothing(kl, warned):
  defense = {"name": "nasty", "kl_to_normal": kl, "normal_accuracy": 0.9}
  lines = find(defense=defense)
  assert bool(lines) == warned
  assert all("teacher.defense.omega" in line for line in lines)


@pytest.mark.parametrize(
  ("synthesis", "field"),
  [
    ({"step_size": 1e-9, "num_steps": 50}, "synthesis.step_size=1e-09"),
    (
      {"optimizer": {"learning_rate": 1e-9}},
      "synthesis.optimizer.learning_rate=1e-09",
    ),
    ({"step_size": 0.001, "num_steps": 4}, ""),
    ({"optimizer": {"learning_rate": 0.001}}, ""),
  ],
)
def test_images_that_were_never_improved(synthesis, field):
  lines = find(config={"synthesis": synthesis})
  assert bool(lines) == bool(field)
  assert all(field in line for line in lines)


def test_no_config_leaves_its_images_as_they_were():
  for path in sorted((PACKAGE / "configs").glob("*.py")):
    config = jaxkd.load_config(f"{path}:smoke")
    if "cells" not in config:
      fields = {"synthesis": config.synthesis.to_dict()}
      assert not find(config=fields), path


def test_warnings_are_in_the_terminal_and_on_the_page(tmp_path):
  lines = find(0.9, 0.25)
  made = report(warnings=lines)
  assert f"warning     {lines[0]}" in summary(made)
  write_html(tmp_path / "report.html", made, [])
  assert "<h2>Warnings</h2>" in (tmp_path / "report.html").read_text()
  write_html(tmp_path / "none.html", report(warnings=[]), [])
  assert "<h2>Warnings</h2>" not in (tmp_path / "none.html").read_text()


@pytest.mark.parametrize("name", HEALTHY)
def test_the_shipped_configs_have_none(name):
  path = RESULTS / f"{name}.json"
  classes = 2 if "two_moons" in name else 10
  for run in json.loads(path.read_text())["runs"]:
    assert not run_warnings.find({"data_free": None, **run}, classes)
