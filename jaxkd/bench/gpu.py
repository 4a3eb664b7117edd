"""All measurements of one accelerator, within a time limit.

They run in the order of their importance. Results are written after every
measurement; one that there was no time for has a row that says so.
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

SETS = (1, 4, 16, 64)  # sets for each device

Measurement = Callable[[], list[Row]]


def measure(
  folder: Path,
  size: str,
  torch_modes: tuple[str, ...],
  dtypes: tuple[str, ...],
  *,
  repeats: int = 3,
  minutes: float,
) -> str:
  """Runs the measurements that there is time for, and returns their table.

  Args:
    folder: the folder of `gpu.json` and `gpu.md`.
    size: `full` or `small`.
    torch_modes: keys of `TORCH_MODES`; CUDA graphs are used with LeNet-5 only.
    dtypes: the types of LeNet-5; deeper networks use the last one.
    repeats: the number of times that each contender is timed.
    minutes: the time after which no measurement starts; the last one may take
      three minutes more.
  """
  began = time.monotonic()
  limits = roofline.measure(dtypes, repeats, 1.0 if size == "full" else 0.25)
  rows: list[Row] = []
  text = ""
  measurements = _measurements(size, torch_modes, dtypes, repeats, limits, rows)
  for name, run in measurements.items():
    elapsed = (time.monotonic() - began) / 60
    if elapsed > minutes:
      rows.append(_empty_row(name, f"{minutes:g} minutes were over"))
    else:
      print(f"{60 * elapsed:4.0f} s  {name}", flush=True)
      try:
        rows += run()
      except Exception as error:  # the other measurements may still succeed
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        rows.append(_empty_row(name, reason))
    text = results.write(folder, "gpu", rows, limits, minutes=minutes)
  return text


def _empty_row(name: str, reason: str) -> Row:
  case, _, part = name.partition(" ")
  return Row(
    case, part, OURS, "", 0, None, "", None, note=f"not measured: {reason}"
  )


def _measurements(
  size: str,
  torch_modes: tuple[str, ...],
  dtypes: tuple[str, ...],
  repeats: int,
  limits: roofline.Roofline,
  rows: list[Row],
) -> dict[str, Measurement]:
  without_graphs = tuple(mode for mode in torch_modes if mode != "graphs")
  deep = BenchConfig(dtypes[-1:], without_graphs, repeats, limits)
  configs = {
    "lenet5": BenchConfig(dtypes, torch_modes, repeats, limits),
    "resnet34": deep,
    "vit8": deep,
  }

  def measure_part(name: str, part: str) -> Measurement:
    case = cases.find(name)
    measure = comparison.MEASURES[part]
    return lambda: measure(case, case.sizes[size], configs[name], rows)

  first = [
    ("lenet5", "synthesis"),
    ("lenet5", "student"),
    ("lenet5", "end_to_end"),
    ("resnet34", "synthesis"),
    ("vit8", "synthesis"),
  ]
  later = [("resnet34", "student"), ("vit8", "student")]
  return {
    **{f"{name} {part}": measure_part(name, part) for name, part in first},
    "engines": lambda: engines.measure(size, dtypes[-1:], repeats),
    "lenet5 sets": lambda: _measure_sets(size, repeats),
    **{f"{name} {part}": measure_part(name, part) for name, part in later},
    "grid": lambda: [grid.row(repeats)],
  }


def _measure_sets(size: str, repeats: int) -> list[Row]:
  """Measures image-steps per second for 1 to 64 sets at once."""
  case = cases.find("lenet5")
  counts = SETS if size == "full" else SETS[:2]
  short = case.sizes[size]._replace(steps=min(case.sizes[size].steps, 64))
  _, points = scale.measure(case, short, counts, repeats)
  return scale.rows(case, points, short)
