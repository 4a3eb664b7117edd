"""The measurements of the command line, by name."""

from pathlib import Path
from typing import NamedTuple

import jax

from jaxkd.bench import (
  cases,
  comparison,
  engines,
  gpu,
  grid,
  results,
  roofline,
  scale,
  scan,
)
from jaxkd.bench.comparison import BenchConfig
from jaxkd.bench.results import Row
from jaxkd.runtime.environment import environment

SETS = (1, 2, 4, 8)  # sets for each device, on the CPU


class Options(NamedTuple):
  """The checked options of the command line.

  Attributes:
    part: a part of a case, or `all`.
    repeats: the number of times that each contender is timed.
    size: `full` or `small`.
    torch_modes: keys of `TORCH_MODES`.
    dtypes: the types that networks compute in.
    minutes: the time after which `gpu` starts no measurement.
    sustained: the share of the peak in estimates; 0 for the measured share.
    folder: the folder for results; None only prints them.
  """

  part: str
  repeats: int
  size: str
  torch_modes: tuple[str, ...]
  dtypes: tuple[str, ...]
  minutes: float
  sustained: float
  folder: Path | None


def on_cpu() -> bool:
  """Returns whether there is no accelerator."""
  return jax.default_backend() == "cpu"


def measure_case(name: str, options: Options) -> str:
  """Measures a case, and returns its table."""
  case = cases.find(name)
  limits = roofline.measure(options.dtypes, options.repeats)
  config = BenchConfig(
    options.dtypes, options.torch_modes, options.repeats, limits
  )
  rows = comparison.measure(
    case, case.sizes[options.size], options.part, config
  )
  return _render(name, rows, options, limits)


def _engines(name: str, options: Options) -> str:
  rows = engines.measure(options.size, options.dtypes, options.repeats)
  return _render(name, rows, options)


def _grid(name: str, options: Options) -> str:
  return _render(name, [grid.row(options.repeats)], options)


def _gpu(name: str, options: Options) -> str:
  del name
  return gpu.measure(
    options.folder or Path(),
    options.size,
    options.torch_modes,
    options.dtypes,
    repeats=options.repeats,
    minutes=options.minutes,
  )


def _scan(name: str, options: Options) -> str:
  return _render(name, scan.measure(repeats=options.repeats), options)


def _scale(name: str, options: Options) -> str:
  case = cases.find("lenet5")
  size = case.sizes["small"]
  counts = gpu.SETS if options.size == "full" else SETS
  dtype = options.dtypes[-1]
  memory, points = scale.measure(case, size, counts, options.repeats, dtype)
  limits = roofline.measure((dtype,), options.repeats)
  best = max(point.image_steps_per_s for point in points)
  share, origin = options.sustained, "as given"
  if not share:
    share = scale.matrix_share(case, best, limits, dtype)
    origin = (
      f"the share that {case.name} reaches of this device's matrix product in "
      f"{dtype}, which is below its peak: a lower bound of the hours"
    )
  jobs = scale.describe_jobs(share, origin)
  rows = scale.rows(case, points, size, dtype)
  text = _render(
    name, rows, options, limits,
    memory=memory._asdict(),
    bytes_by_steps=scale.bytes_by_steps(case, size, (8, 64, 256)),
    flop_by_shape=scale.flop_by_shape(),
    jobs=jobs,
  )  # fmt: skip
  return "\n".join([text, *jobs])


def _render(
  name: str,
  rows: list[Row],
  options: Options,
  limits: roofline.Roofline | None = None,
  **more: object,
) -> str:
  if options.folder:
    return results.write(options.folder, name, rows, limits, **more)
  return results.markdown(rows, limits, environment())


COMMANDS = {
  "engines": _engines,
  "grid": _grid,
  "gpu": _gpu,
  "scale": _scale,
  "scan": _scan,
}
