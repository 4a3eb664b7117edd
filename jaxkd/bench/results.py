"""Results as JSON and as a markdown table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxkd.bench.roofline import Roofline
from jaxkd.runtime.environment import environment
from jaxkd.runtime.files import write_json, write_text

OURS = "jaxkd"
RIVALS = {
  "eager": "PyTorch eager",
  "compile": "PyTorch compile",
  "graphs": "PyTorch compile, CUDA graphs",
}
COLUMNS = (
  "case", "part", "side", "dtype", "at once", "rate", "seconds", "x eager",
  "of matrix", "of copy", "note",
)  # fmt: skip


class Row(NamedTuple):
  """One measurement.

  Attributes:
    case: name of what was measured.
    part: `synthesis`, `student`, `end_to_end`, or an engine's step.
    side: `OURS`, or one of `RIVALS`.
    dtype: that the networks compute in.
    at_once: images in one batch.
    rate: in `unit` per second; None where only seconds make sense, or where
      nothing was measured.
    unit: of the rate.
    seconds: median of the repeats.
    matrix_share: of the device's own matrix product in that dtype, in FLOP/s of
    the definition; a form that multiplies less may exceed it.
    copy_share: of its copy, in bytes/s; above 1 where caches do the work.
    note: how it was measured, or why not.
  """

  case: str
  part: str
  side: str
  dtype: str
  at_once: int
  rate: float | None
  unit: str
  seconds: float | None
  matrix_share: float | None = None
  copy_share: float | None = None
  note: str = ""


def baseline(row: Row, rows: Sequence[Row]) -> Row | None:
  """The eager rival of the same case and part: in float32 if it is there, with
  the smallest batch; of two, the first.
  """
  rivals = [
    each
    for each in rows
    if (each.case, each.part) == (row.case, row.part)
    and each.side == RIVALS["eager"]
    and each.seconds is not None
  ]
  return min(
    rivals, key=lambda each: (each.dtype != "float32", each.at_once),
    default=None,
  )  # fmt: skip


def ratio(row: Row, rows: Sequence[Row]) -> float | None:
  """How many times as fast as its `baseline`; None where there is none."""
  rival = baseline(row, rows)
  if rival is None or row.seconds is None:
    return None
  if row.rate and rival.rate:
    return row.rate / rival.rate
  return rival.seconds / row.seconds


def markdown(
  rows: Sequence[Row], ceilings: Roofline | None, where: dict[str, Any]
) -> str:
  """The rows as a table, under what they were measured on: `environment()`."""
  versions = where["versions"]
  about = [
    f"{' + '.join(where['devices'])}, "
    f"{', '.join(f'{name} {version}' for name, version in versions.items())}, "
    f"commit {where['commit'] or 'unknown'}, {where['date']}"
  ]
  if ceilings:
    products = ", ".join(
      f"{dtype} {rate / 1e12:.3g}" for dtype, rate in ceilings.flops.items()
    )
    about.append(
      f"Ceilings measured on this device: matrix products {products} TFLOP/s, "
      f"copy {ceilings.bytes / 1e9:.3g} GB/s."
    )
  if any(row.side in RIVALS.values() for row in rows):
    about.append(
      "x eager: times as fast as PyTorch eager, in float32 if it is there, at "
      "its smallest batch, and with its DataLoader. PyTorch has one device."
    )
  lines = [COLUMNS, ("---",) * len(COLUMNS)]
  lines += [_cells(row, ratio(row, rows)) for row in rows]
  table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
  return "\n\n".join([*about, table]) + "\n"


def _cells(row: Row, times: float | None) -> tuple[str, ...]:
  return (
    row.case,
    row.part,
    row.side,
    row.dtype,
    f"{row.at_once:,}" if row.at_once else "",
    f"{_short(row.rate)} {row.unit}/s" if row.rate else "",
    _short(row.seconds),
    "" if times is None else f"{times:.2f}",
    _percent(row.matrix_share),
    _percent(row.copy_share),
    row.note,
  )


def _short(number: float | None) -> str:
  """Three digits.

  >>> _short(12_345.6), _short(0.012345), _short(None)
  ('12,346', '0.0123', '')
  """
  if number is None:
    return ""
  return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _percent(share: float | None) -> str:
  return "" if share is None else f"{share:.1%}"


def write(
  folder: Path,
  name: str,
  rows: Sequence[Row],
  ceilings: Roofline | None = None,
  **more: Any,
) -> str:
  """Writes `NAME.json` and `NAME.md` into `folder`; returns the latter."""
  where = environment()
  found = {
    "name": name,
    **where,
    "ceilings": ceilings and ceilings._asdict(),
    "rows": [{**row._asdict(), "ratio": ratio(row, rows)} for row in rows],
    **more,
  }
  write_json(folder / f"{name}.json", found)
  text = markdown(rows, ceilings, where)
  write_text(folder / f"{name}.md", text)
  return text
