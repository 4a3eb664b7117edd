"""A check passes a value that is allowed, and names the field, the value and
what is allowed otherwise.
"""

import pytest

from jaxkd.config import checks
from jaxkd.errors import JaxkdError


@pytest.mark.parametrize(
  ("check", "allowed", "refused", "message"),
  [
    (
      lambda value: checks.positive(rate=value),
      [1, 1e-9],
      [0, -1.0, float("nan")],
      "rate={}: it must be above 0.",
    ),
    (
      lambda value: checks.not_negative(rate=value),
      [0, 0.5],
      [-1, -1e-9, float("nan")],
      "rate={}: it must be 0 or above.",
    ),
    (
      lambda value: checks.at_least("seeds", value, 2),
      [2, 3],
      [1, -5],
      "seeds={}: choose 2 or more.",
    ),
    (
      lambda value: checks.at_most("group_size", value, 3, "classes"),
      [3, 0],
      [4, 9],
      "group_size={}: there are only 3 classes; choose 3 or fewer.",
    ),
    (
      lambda value: checks.choice("kind", value, ("round", "square")),
      ["round", "square"],
      ["oval", "", "Round"],
      "Unknown kind '{}'.",
    ),
  ],
)
def test_a_value_passes_or_is_named(check, allowed, refused, message):
  for value in allowed:
    assert check(value) is None
  for value in refused:
    with pytest.raises(JaxkdError) as error:
      check(value)
    assert str(error.value).startswith(message.format(value))


def test_every_field_of_a_call_is_checked():
  with pytest.raises(JaxkdError, match="^radius=0.0"):
    checks.positive(rate=1.0, radius=0.0)


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all():
  allowed = iter(["label", "probs", "logits"])
  assert checks.unknown("access", "labels", allowed) == (
    "Unknown access 'labels'. Did you mean label? Choose one of label, probs, "
    "logits."
  )
  assert checks.unknown("access", "xyz", ["label"]) == (
    "Unknown access 'xyz'. Choose one of label."
  )


def test_keys_are_neither_missing_nor_left_over():
  assert checks.keys("weights", {"b": 1, "a": 2}, ("a", "b")) is None
  for given in ({"a": 1}, {"a": 1, "b": 2, "c": 3}, {}):
    with pytest.raises(JaxkdError, match="weights has .*; it must have exa"):
      checks.keys("weights", given, ("a", "b"))


@pytest.mark.parametrize(
  ("value", "choices"), [(7, "6 or 9"), (10, "9 or 12"), (2, "3")]
)
def test_what_is_no_multiple_is_answered_with_the_nearest(value, choices):
  assert checks.multiple("set_size", 3 * value, "group_size", 3) is None
  message = (
    f"set_size={value} is not a multiple of group_size=3; choose {choices}."
  )
  with pytest.raises(JaxkdError, match=message.format(choices)):
    checks.multiple("set_size", value, "group_size", 3)


@pytest.mark.parametrize(
  ("budget", "num_rounds", "rounds"),
  [
    (100, 0, 10),  # as many as the budget pays for
    (109, 0, 10),
    (100, 3, 3),
    (100, 50, 50),  # the run ends when the budget does
    (0, 3, 3),  # a white box costs nothing
    (-5, 3, 3),
  ],
)
def test_rounds_are_those_of_the_config_or_of_the_budget(
  budget, num_rounds, rounds
):
  assert checks.rounds_within(budget, 10, num_rounds) == rounds


def test_a_budget_that_pays_for_no_round_is_refused():
  with pytest.raises(JaxkdError, match=r"budget=9 .* costs 10 queries"):
    checks.rounds_within(9, 10, 0)
  with pytest.raises(JaxkdError, match="num_rounds=-1"):
    checks.rounds_within(100, 10, -1)


def test_the_empty_name_is_not_among_those_to_choose_from():
  message = checks.unknown("kind", "x", ("", "logits", "sigmoid"))
  assert message.endswith("Choose one of logits, sigmoid.")
