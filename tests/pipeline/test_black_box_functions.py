"""Whole runs whose teacher is a function of the user's own."""

from network_weights import same
from own_code import client
import pytest
from tiles import BUDGET, DATASET, config_of

import jaxkd
from jaxkd.pipeline import plan
from jaxkd.pipeline.setup import setup
from jaxkd.teachers.ledger_cli import read_totals

pytestmark = pytest.mark.usefixtures("dense")


def black_box(function=client.predict, num_classes=4):
  return jaxkd.black_box(function, access="label", num_classes=num_classes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  config = config_of(**{"queries.price_per_1000": 2.0})
  student, report = jaxkd.distill(black_box(), config, folder, dataset=DATASET)
  return student, report, folder


def test_a_function_is_copied_under_a_ledger(whole):
  _, report, folder = whole
  assert report["queries"]["spent"] == BUDGET
  assert report["queries"]["access"] == "label"
  assert report["queries"]["price"] == 0.12
  assert report["teacher"]["model"] == "predict"
  assert read_totals(folder / "ledger.jsonl").answered == BUDGET


def test_a_finished_folder_goes_on_without_a_call(whole):
  student, report, folder = whole

  def predict(images):
    raise AssertionError

  predict.__qualname__ = "predict"
  config = config_of(**{"queries.price_per_1000": 2.0})
  again, _ = jaxkd.distill(black_box(predict), config, folder, dataset=DATASET)
  same(again, student)
  with pytest.raises(jaxkd.JaxkdError, match="another config.*plan.teacher"):
    jaxkd.distill(black_box(max), config, folder, dataset=DATASET)


def test_a_config_names_the_function(whole, tmp_path):
  config = config_of(
    **{"teacher.callable": "own_code.client:predict", "teacher.access": "label"}
  )
  student, report = jaxkd.distill(None, config, tmp_path, dataset=DATASET)
  same(student, whole[0])
  assert report["queries"]["spent"] == BUDGET
  assert report["teacher"]["model"] == "own_code.client:predict"


@pytest.mark.parametrize(
  ("teacher", "fields", "message"),
  [
    (None, {"teacher.callable": "own_code.client:none"}, "no function none"),
    (None, {"teacher.callable": "client"}, "write module:function"),
    (None, {"teacher.callable": "no_such:f"}, "no module no_such"),
    (
      None,
      {"teacher.callable": "own_code.client:predict", "queries.budget": 0},
      "queries.budget=0",
    ),
    (
      None,
      {
        "teacher.callable": "own_code.client:predict",
        "teacher.access": "white_box",
      },
      "'white_box'. Choose one of label, probs, logits",
    ),
    (black_box(num_classes=7), {}, "num_classes=7, but tiles has 4 classes"),
    (black_box(), {"teacher.url": "http://host"}, "more than one teacher"),
    (black_box(), {"queries.budget": 0}, "queries.budget=0"),
  ],
)
def test_what_cannot_be_is_refused_before_a_call(teacher, fields, message):
  with pytest.raises(jaxkd.JaxkdError, match=message):
    setup(config_of(**fields), teacher, DATASET)


def test_the_plan_counts_the_queries_and_calls_nothing():
  made = setup(config_of(), black_box(lambda images: 1 / 0), DATASET)
  assert f"budget {BUDGET}" in plan.queries(made)
  assert "behind an interface" in plan.networks(made)
