"""All that is asked of one accelerator, in one command.

The cells come in the order in which they matter; those for which there is no
time left are said to be so. What is done is on disk after every cell.
"""

from collections.abc import Callable
from pathlib import Path
import time

from jaxkd.bench import (
  cases,
  comparison,
  engines,
  grid,
  results,
  roofline,
  scale,
)
from jaxkd.bench.comparison import BenchConfig
from jaxkd.bench.results import OURS, Row

SETS = (1, 4, 16, 64)  # per device

Cell = Callable[[], list[Row]]


def measure(
  folder: Path,
  size: str,
  rivals: tuple[str, ...],
  dtypes: tuple[str, ...],
  *,
  repeats: int = 3,
  minutes: float,
) -> str:
  """Measures as many cells as there is time for; returns the table.

  Args:
    folder: of `gpu.json` and `gpu.md`.
    size: `full` or `small`.
    rivals: none, or of `RIVALS`; CUDA graphs are tried with LeNet-5 alone.
    dtypes: of LeNet-5; of deeper networks the last one.
    repeats: how often each side is timed.
    minutes: after which no cell is begun; the last may take three more.
  """
  began = time.monotonic()
  found = roofline.measure(dtypes, repeats, 1.0 if size == "full" else 0.25)
  rows: list[Row] = []
  text = ""
  for name, cell in _cells(size, rivals, dtypes, repeats, found, rows).items():
    spent = (time.monotonic() - began) / 60
    if spent > minutes:
      rows.append(_without_numbers(name, f"{minutes:g} minutes were over"))
    else:
      print(f"{60 * spent:4.0f} s  {name}", flush=True)
      try:
        rows += cell()
      except Exception as error:  # the others may still do
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        rows.append(_without_numbers(name, reason))
    text = results.write(folder, "gpu", rows, found, minutes=minutes)
  return text


def _without_numbers(name: str, reason: str) -> Row:
  case, _, part = name.partition(" ")
  return Row(
    case, part, OURS, "", 0, None, "", None, note=f"not measured: {reason}"
  )


def _cells(
  size: str,
  rivals: tuple[str, ...],
  dtypes: tuple[str, ...],
  repeats: int,
  found: roofline.Roofline,
  rows: list[Row],
) -> dict[str, Cell]:
  few = tuple(rival for rival in rivals if rival != "graphs")
  deep = BenchConfig(dtypes[-1:], few, repeats, found)
  settings = {
    "lenet5": BenchConfig(dtypes, rivals, repeats, found),
    "resnet34": deep,
    "vit8": deep,
  }

  def part_of(name: str, part: str) -> Cell:
    case = cases.find(name)
    measure = comparison.MEASURES[part]
    return lambda: measure(case, case.sizes[size], settings[name], rows)

  order = [
    ("lenet5", "synthesis"),
    ("lenet5", "student"),
    ("lenet5", "end_to_end"),
    ("resnet34", "synthesis"),
    ("vit8", "synthesis"),
  ]
  later = [("resnet34", "student"), ("vit8", "student")]
  return {
    **{f"{name} {part}": part_of(name, part) for name, part in order},
    "engines": lambda: engines.measure(size, dtypes[-1:], repeats),
    "lenet5 sets": lambda: _flat_in_sets(size, repeats),
    **{f"{name} {part}": part_of(name, part) for name, part in later},
    "grid": lambda: [grid.row(repeats)],
  }


def _flat_in_sets(size: str, repeats: int) -> list[Row]:
  """Image-steps per second for 1 to 64 sets at once."""
  case = cases.find("lenet5")
  counts = SETS if size == "full" else SETS[:2]
  steps = case.sizes[size]._replace(steps=min(case.sizes[size].steps, 64))
  return scale.rows(case, scale.points(case, steps, counts, repeats)[1], steps)
