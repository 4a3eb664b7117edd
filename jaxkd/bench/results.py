"""The results of a benchmark as JSON and as a Markdown table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxkd.bench.roofline import Roofline
from jaxkd.runtime.environment import environment
from jaxkd.runtime.files import write_json, write_text

OURS = "jaxkd"
TORCH_MODES = {
  "eager": "PyTorch eager",
  "compile": "PyTorch compile",
  "graphs": "PyTorch compile, CUDA graphs",
}
COLUMNS = (
  "case", "part", "program", "dtype", "at once", "rate", "seconds", "x eager",
  "of matrix", "of copy", "note",
)  # fmt: skip


class Row(NamedTuple):
  """One measurement.

  Attributes:
    case: the name of the case, engine or network.
    part: `synthesis`, `student`, `end_to_end`, or another step.
    program: `OURS`, a value of `TORCH_MODES`, or the form of a loop.
    dtype: the type that the networks compute in.
    at_once: the number of images in one batch.
    rate: `unit` per second; None if there is no rate or no measurement.
    unit: the unit of the rate.
    seconds: the median over the repeats.
    matrix_share: FLOP/s, counted for the plain operations, as a share of the
      device's matrix product in that type. Algorithms that multiply less may
      exceed 1.
    copy_share: bytes/s as a share of the device's copy; caches may make it
      exceed 1.
    note: how it was measured, or why it was not.
  """

  case: str
  part: str
  program: str
  dtype: str
  at_once: int
  rate: float | None
  unit: str
  seconds: float | None
  matrix_share: float | None = None
  copy_share: float | None = None
  note: str = ""


def baseline(row: Row, rows: Sequence[Row]) -> Row | None:
  """Returns the row of eager PyTorch for the same case and part.

  It prefers float32, then the smallest batch, then the first row.
  """
  candidates = [
    each
    for each in rows
    if (each.case, each.part) == (row.case, row.part)
    and each.program == TORCH_MODES["eager"]
    and each.seconds is not None
  ]
  return min(
    candidates, key=lambda each: (each.dtype != "float32", each.at_once),
    default=None,
  )  # fmt: skip


def ratio(row: Row, rows: Sequence[Row]) -> float | None:
  """Returns a row's speed relative to its `baseline`, if there is one."""
  base = baseline(row, rows)
  if base is None or row.seconds is None:
    return None
  if row.rate and base.rate:
    return row.rate / base.rate
  return base.seconds / row.seconds


def markdown(
  rows: Sequence[Row], roofline: Roofline | None, origin: dict[str, Any]
) -> str:
  """Renders rows as a table, below where they were measured.

  Args:
    rows: the rows.
    roofline: the rates of the device, if they were measured.
    origin: what `environment()` returns.
  """
  versions = origin["versions"]
  about = [
    f"{' + '.join(origin['devices'])}, "
    f"{', '.join(f'{name} {version}' for name, version in versions.items())}, "
    f"commit {origin['commit'] or 'unknown'}, {origin['date']}"
  ]
  if roofline:
    products = ", ".join(
      f"{dtype} {rate / 1e12:.3g}" for dtype, rate in roofline.flops.items()
    )
    about.append(
      f"Measured rates of this device: matrix products {products} TFLOP/s, "
      f"copy {roofline.bytes / 1e9:.3g} GB/s."
    )
  if any(row.program in TORCH_MODES.values() for row in rows):
    about.append(
      "x eager: the rate as a multiple of eager PyTorch's, in float32 if it "
      "was measured, at its smallest batch, and with its DataLoader. PyTorch "
      "uses one device."
    )
  lines = [COLUMNS, ("---",) * len(COLUMNS)]
  lines += [_cells(row, ratio(row, rows)) for row in rows]
  table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
  return "\n\n".join([*about, table]) + "\n"


def _cells(row: Row, times: float | None) -> tuple[str, ...]:
  return (
    row.case,
    row.part,
    row.program,
    row.dtype,
    f"{row.at_once:,}" if row.at_once else "",
    f"{_format(row.rate)} {row.unit}/s" if row.rate else "",
    _format(row.seconds),
    "" if times is None else f"{times:.2f}",
    _percent(row.matrix_share),
    _percent(row.copy_share),
    row.note,
  )


def _format(number: float | None) -> str:
  """Formats a number to three digits or to a whole number.

  >>> _format(12_345.6), _format(0.012345), _format(None)
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
  roofline: Roofline | None = None,
  **more: object,
) -> str:
  """Writes `NAME.json` and `NAME.md` into `folder`; returns the table.

  Args:
    folder: the folder of the files.
    name: their name.
    rows: the measurements.
    roofline: the rates of the device, if they were measured.
    **more: further fields of the JSON file.
  """
  origin = environment()
  fields = {
    "name": name,
    **origin,
    "roofline": roofline and roofline._asdict(),
    "rows": [{**row._asdict(), "ratio": ratio(row, rows)} for row in rows],
    **more,
  }
  write_json(folder / f"{name}.json", fields)
  text = markdown(rows, roofline, origin)
  write_text(folder / f"{name}.md", text)
  return text
