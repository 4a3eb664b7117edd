"""The method of a run is refused where the teacher or the student does not suit
it.
"""

from ml_collections import ConfigDict
from point_rounds import two_phases
import pytest

import jaxkd
from jaxkd.pipeline.method import (
  build_method,
  check_access,
  check_student,
  trains_student,
)
from jaxkd.types import JaxkdError, PreStudentStage

SPEC = jaxkd.DataSpec("tiny", (8, 8, 1), 3, (0.5,), (0.5,))
LEARNS = two_phases()  # it trains the student in its rounds
MAKES = LEARNS._replace(phases=LEARNS.phases[:1])
TRAINS_ITS_OWN = MAKES._replace(round_student=lambda state: state)
STAGE = PreStudentStage(None, "teacher", "two members")


def config(epochs=1, seeds=1, access="white_box", augment=(), **blocks):
  student = {
    "epochs": epochs,
    "seeds": seeds,
    "augment": augment,
    "round_optimizer": {},
  }
  return ConfigDict(
    {
      "method": "toy",
      "student": student,
      "teacher": {"access": access},
      "queries": {"eval_at": ()},
      "other_dataset": "",
      **blocks,
    }
  )


def test_a_method_trains_the_student_where_a_phase_has_steps_of_it():
  assert trains_student(LEARNS)
  assert not trains_student(MAKES)


@pytest.mark.parametrize(
  ("method", "fields"),
  [
    (LEARNS, {"epochs": 0}),
    (LEARNS, {"seeds": 3}),
    (MAKES, {"seeds": 3}),
    (MAKES._replace(relabel_views=True), {}),
    (LEARNS._replace(relabel_views=True), {"epochs": 0, "access": "probs"}),
    (MAKES._replace(pre_student_stage=STAGE), {"access": "label"}),
    (MAKES._replace(real_images="train"), {}),
    (TRAINS_ITS_OWN, {"epochs": 0, "queries": {"eval_at": (0.5,)}}),
    (MAKES._replace(relabel_views=True), {"augment": ("crop", "mixup")}),
  ],
)
def test_a_student_that_suits_the_method_passes(method, fields):
  assert check_student(config(**fields), method) is None


@pytest.mark.parametrize(
  ("method", "fields", "message"),
  [
    (LEARNS, {"epochs": 0, "seeds": 3}, "student.seeds=3"),
    (MAKES, {"epochs": 0}, "student.epochs=0: toy leaves"),
    (MAKES, {"queries": {"eval_at": (0.5,)}}, "queries.eval_at: toy"),
    (
      LEARNS,
      {"student": {"epochs": 1, "seeds": 1}},
      "say how in student.round_optimizer",
    ),
    (
      LEARNS._replace(pre_student_stage=STAGE),
      {"epochs": 0},
      "student.epochs=0: toy trains two members",
    ),
    (
      MAKES._replace(relabel_views=True),
      {"access": "probs"},
      "student.epochs=1: toy would .*every view.*teacher.access=probs",
    ),
    (MAKES._replace(real_images="other"), {}, "other_dataset is empty"),
    (MAKES._replace(real_images="photo"), {}, "other_dataset is empty"),
    (
      MAKES,
      {"augment": ("mixup",)},
      r"student\.augment=\('mixup',\): mixup shows two images at once",
    ),
    (TRAINS_ITS_OWN, {"epochs": 0, "seeds": 2}, "student.seeds=1"),
  ],
)
def test_a_student_that_does_not_suit_is_refused_by_its_field(
  method, fields, message
):
  with pytest.raises(JaxkdError, match=message):
    check_student(config(**fields), method)


@pytest.mark.parametrize(
  ("needed", "given", "enough"),
  [
    ("label", "label", True),
    ("label", "white_box", True),
    ("probs", "logits", True),
    ("probs", "top_k", False),
    ("white_box", "logits", False),
  ],
)
def test_a_teacher_gives_as_much_as_the_method_needs(needed, given, enough):
  method = LEARNS._replace(required_access=needed)
  if enough:
    assert check_access(method, given, eight_bit=False) is None
  else:
    with pytest.raises(JaxkdError, match=f"needs {needed} .* gives {given}"):
      check_access(method, given, eight_bit=False)


def test_8_bits_are_refused_where_differences_would_be_lost():
  method = LEARNS._replace(float_pixels=True)
  assert check_access(method, "label", eight_bit=False) is None
  assert check_access(LEARNS, "label", eight_bit=True) is None
  with pytest.raises(JaxkdError, match="8-bit"):
    check_access(method, "label", eight_bit=True)


@pytest.mark.parametrize(
  ("name", "fields", "message"),
  [
    (
      "cake",
      {
        "teacher.access": "label",
        "queries.budget": 100,
        "synthesis.sets_per_round": 2,
        "synthesis.group_size": 2,
      },
      "needs white_box .* gives label",
    ),
    (
      "dfme",
      {
        "teacher.url": "http://127.0.0.1:9",
        "teacher.authorization": "the test",
        "teacher.model_name": "the test",
        "queries.budget": 10_000,
      },
      "8-bit",
    ),
    ("kd", {"student.epochs": 0}, "student.epochs=0"),
    ("htc", {"grid": {"alfa": (0.1,)}}, "grid.*alfa"),
  ],
)
def test_a_method_of_the_package_is_checked_when_it_is_built(
  name, fields, message
):
  config = jaxkd.load_config(f"configs/{name}.py:smoke")
  config.grid = fields.pop("grid", {})
  config.update_from_flattened_dict(fields)
  with pytest.raises(JaxkdError, match=message):
    build_method(config, SPEC, reserved=0, num_images=80)


def test_reserved_queries_are_not_the_methods():
  config = jaxkd.load_config("configs/ideal.py:smoke")
  config.queries.budget, config.synthesis.num_rounds = 100, 0
  config.synthesis.batch_size = config.synthesis.pass_batch_size = 10
  rounds = [
    build_method(config, SPEC, reserved=count, num_images=0).rounds
    for count in (0, 40)
  ]
  assert rounds == [10, 6]
