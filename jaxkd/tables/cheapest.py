"""The cheapest defence that was measured to help, from a table of defences.

Its rows are defences, the first one none. Two columns, `config.prices`, have
the accuracy and the calibration error that honest users get, the others the
accuracy of the student that an attack leads to.

A defence helps against an attack if the student's 95 % interval lies below the
one without a defence. The cheapest is the one that costs honest users the least
accuracy, and among equals the least calibration error. An attacker who has all
of the attacks takes the strongest one against each defence, and can leave
probabilities that mislead alone: where a defence keeps the label, each attack
does as well as against labels.
"""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from jaxkd import defenses
from jaxkd.tables.records import Record

MEANING = (
  "Measured to help: the 95 % interval of the student's accuracy lies below "
  "the one without a defence. Intervals are those of the test images; another "
  "seed can give another verdict."
)
LABELS = "label_only"  # the row of a teacher that answers with labels
Row = Mapping[str, Record]  # the finished cells of a row, by column


def advice(config: ConfigDict, records: Sequence[Record]) -> list[str]:
  """Returns a line for each attack, and for all together if they are several.

  Attacks and defences that are not finished are left out; without any, or for a
  table without prices, there is no line.
  """
  if not config.prices:
    return []
  rows = _finished_rows(records, config.prices)
  undefended = rows.pop(config.rows[0], {})
  attacks = [
    column
    for column in config.columns
    if column not in config.prices and column in undefended
  ]
  lines = []
  for attack in attacks:
    others = {name: row for name, row in rows.items() if attack in row}
    if others:
      lines.append(_line(config.prices, [attack], undefended, others))
  complete = {
    name: row for name, row in rows.items() if set(attacks) <= set(row)
  }
  if len(attacks) > 1 and complete:
    complete = _against_labels(complete, attacks)
    lines.append(_line(config.prices, attacks, undefended, complete))
  return [*lines, MEANING] if lines else []


def _against_labels(
  rows: Mapping[str, Row], attacks: Sequence[str]
) -> dict[str, Row]:
  """Returns rows in which an attack takes labels alone where that is better.

  Only defences that keep the label are compared with the row of labels.
  """
  if LABELS not in rows:
    return dict(rows)
  adapted = {}
  for name, row in rows.items():
    adapted[name] = row
    if name in defenses.names() and defenses.keeps_label(name):
      adapted[name] = {
        column: max(cell, rows[LABELS][column], key=lambda r: r["value"])
        if column in attacks
        else cell
        for column, cell in row.items()
      }
  return adapted


def _finished_rows(
  records: Sequence[Record], prices: Sequence[str]
) -> dict[str, dict[str, Record]]:
  """Groups the cells with a value by row, and drops rows without a price."""
  rows: dict[str, dict[str, Record]] = {}
  for record in records:
    if record["value"] is not None:
      rows.setdefault(record["row"], {})[record["column"]] = record
  return {name: row for name, row in rows.items() if set(prices) <= set(row)}


def _line(
  prices: Sequence[str],
  attacks: Sequence[str],
  undefended: Row,
  rows: Mapping[str, Row],
) -> str:
  """Names the cheapest defence against the strongest of some attacks."""
  against = (
    f"{attacks[0]}, which takes answers as they are"
    if len(attacks) == 1
    else "the strongest of all attacks, or of these with labels alone"
  )
  before = strongest(undefended, attacks)
  after = {name: strongest(row, attacks) for name, row in rows.items()}
  helping = [name for name in rows if _high(after[name]) < _low(before)]
  if not helping:
    least = min(after, key=lambda name: after[name]["value"])
    return (
      f"Against {against}: none of {len(rows)} defences was measured to help "
      f"({', '.join(rows)}). The student's accuracy is {_text(before)} without "
      f"one, and at least {_text(after[least])}, with {least}."
    )
  accuracy, calibration = prices
  name = min(
    helping,
    key=lambda name: (
      -rows[name][accuracy]["value"],
      rows[name][calibration]["value"],
    ),
  )
  price = "; ".join(
    f"{column} {rows[name][column]['value']:.2f} % in place of "
    f"{undefended[column]['value']:.2f} %"
    for column in prices
  )
  return (
    f"Against {against}: {name} is the cheapest of {len(helping)} defences, of "
    f"{len(rows)}, that were measured to help. The student's accuracy is "
    f"{_text(after[name])} in place of {_text(before)}. Its price: {price}."
  )


def strongest(row: Row, attacks: Sequence[str]) -> Record:
  """Returns the cell of the attack with the most accurate student."""
  return max((row[attack] for attack in attacks), key=lambda r: r["value"])


def _low(record: Record) -> float:
  return record["value"] if record["low"] is None else record["low"]


def _high(record: Record) -> float:
  return record["value"] if record["high"] is None else record["high"]


def _text(record: Record) -> str:
  text = f"{record['value']:.2f} %"
  if record["low"] is None:
    return text
  return f"{text} [{record['low']:.2f}, {record['high']:.2f}]"
