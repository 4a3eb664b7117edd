"""The string behind the colon of `--config` chooses the recipe of a config."""

import pytest

from jaxkd import config as c
from jaxkd.config.arguments import number
from jaxkd.types import JaxkdError


def test_arguments_are_parsed_over_their_defaults():
  args = c.arguments("dataset=mnist, student=vit4,smoke", dataset="cifar10")
  assert args == {"dataset": "mnist", "student": "vit4", "smoke": True}


@pytest.mark.parametrize("value", ["0", "false", "No"])
def test_an_argument_that_is_true_by_default_can_be_denied(value):
  args = c.arguments(f"paper={value},smoke=yes", paper=True)
  assert args == {"paper": False, "smoke": True}


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("datset=mnist", "'datset'. Did you mean dataset"),
    ("dataset", "needs a value"),
    ("dataset=", "needs a value"),
  ],
)
def test_arguments_that_are_unknown_or_have_no_value_are_refused(
  argument, message
):
  with pytest.raises(JaxkdError, match=message):
    c.arguments(argument)


def test_numbers_are_read_and_anything_else_is_refused():
  args = {"seeds": "3", "fraction": "0.5", "budget": "many"}
  assert number(args, "seeds") == 3
  assert number(args, "fraction", float) == 0.5
  with pytest.raises(JaxkdError, match="budget=many: choose an integer"):
    number(args, "budget")
  with pytest.raises(JaxkdError, match="seeds=many: choose an integer"):
    c.load_config("configs/cake.py:seeds=many")
  with pytest.raises(JaxkdError, match="fraction=half: choose a number"):
    c.load_config("configs/kd.py:fraction=half")


def test_what_a_table_decides_is_forbidden():
  assert c.forbid({"smoke": True}, "seeds") is None
  with pytest.raises(JaxkdError, match="seeds=3: the table decides that"):
    c.forbid({"seeds": "3"}, "seeds")


def test_a_row_is_looked_up_by_its_name_or_by_the_size_of_images():
  rows = {"mnist": 1}, {0: 2, 48: 3}
  for dataset, size, row in (
    ("mnist", "0", 1), ("mnist", "32", 2), ("photos", "47", 2),
    ("photos", "48", 3), ("none", "224", 3),
  ):  # fmt: skip
    args = {"dataset": dataset, "image_size": size}
    assert c.lookup_sized(args, *rows) == row
  for dataset, size, message in (
    ("photos", "0", "dataset=photos,image_size=64"),
    ("photos", "-1", "image_size=-1: it must be 0 or above"),
    ("photos", "big", "image_size=big: choose an integer"),
  ):
    args = {"dataset": dataset, "image_size": size}
    with pytest.raises(JaxkdError, match=message):
      c.lookup_sized(args, *rows)


def test_a_row_is_looked_up_by_its_name():
  assert c.lookup({"mnist": 1}, "mnist") == 1
  with pytest.raises(JaxkdError, match="Unknown dataset 'minst'.*mean mnist"):
    c.lookup({"mnist": 1}, "minst")
