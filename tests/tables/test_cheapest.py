"""The cheapest defence is named with its price, or none with the numbers."""

from jaxkd import config as c
from jaxkd.tables import cheapest

PRICES = ("accuracy", "calibration")
# Of each row the prices, then the student's accuracy by attack with its bounds.
ROWS = {
  "none": (97, 2, (90, 88, 92), (95, 93, 97)),
  "rounding": (97, 3, (89, 87, 91), (94, 92, 96)),
  "noise": (96, 9, (50, 47, 53), (80, 77, 83)),
  "label": (97, 4, (60, 57, 63), (94, 92, 96)),
}


def lines(rows=ROWS, prices=PRICES):
  columns = (*PRICES, "DFME", "IDEAL")
  config = c.table("d", "t", tuple(rows), columns, {}, prices=prices)
  records = [
    {"row": row, "column": column, "value": None, "low": None, "high": None}
    | (
      dict(zip(("value", "low", "high"), number, strict=True))
      if isinstance(number, tuple)
      else {"value": number}
    )
    for row, numbers in rows.items()
    for column, number in zip(columns, numbers, strict=True)
  ]
  return cheapest.advice(config, records)


def test_the_cheapest_that_helps_is_named_with_its_price():
  dfme, ideal, together, meaning = lines()
  assert dfme.startswith("Against DFME, which takes answers as they are")
  assert "label is the cheapest of 2 defences, of 3" in dfme
  assert "60.00 % [57.00, 63.00] in place of 90.00 % [88.00, 92.00]" in dfme
  assert "accuracy 97.00 % in place of 97.00 %; calibration 4.00 % in" in dfme
  assert "noise is the cheapest of 1 defences" in ideal
  # An attacker who distrusts probabilities takes the labels.
  assert "with labels alone: noise is" in together
  assert "80.00 % [77.00, 83.00] in place of 95.00 %" in together
  assert "interval of the student's accuracy lies below" in meaning


def test_without_one_that_helps_the_numbers_say_so():
  rows = {name: ROWS[name] for name in ("none", "rounding")}
  for line in lines(rows)[:-1]:
    assert "none of 1 defences was measured to help (rounding)" in line
  assert "at least 89.00 % [87.00, 91.00], with rounding" in lines(rows)[0]


def test_what_is_not_finished_is_left_out():
  rows = ROWS | {"label": (97, 4, None, (94, 92, 96))}
  dfme, ideal, together, _ = lines(rows)
  assert "noise is the cheapest of 1 defences, of 2" in dfme
  assert "of 3" in ideal
  assert "of 2" in together
  assert lines(rows | {"none": (97, 2, None, None)}) == []
  assert lines(rows | {"none": (None, 2, 90, 95)}) == []
  assert lines(prices=()) == []


def test_a_defence_that_keeps_the_label_is_no_better_than_labels_alone():
  """The likeliest class of misleading probabilities is the true answer."""
  rows = {
    "none": (97, 2, (95, 93, 97), (90, 88, 92)),
    "label_only": (97, 4, (94, 92, 96), (60, 57, 63)),
    "modelguard_w": (97, 46, (70, 67, 73), (55, 52, 58)),
    "reverse_sigmoid": (96, 46, (80, 77, 83), (70, 67, 73)),
  }
  first, _, together, _ = lines(rows)
  assert "modelguard_w is the cheapest of 2 defences" in first
  assert "reverse_sigmoid is the cheapest of 1 defences, of 3" in together
  rows = {name: rows[name] for name in ("none", "label_only", "modelguard_w")}
  assert "none of 2 defences was measured to help" in lines(rows)[2]
