"""What the command line measures, by name."""

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

SETS = (1, 2, 4, 8)  # per device, on the CPU


class Options(NamedTuple):
  """Of the command line, checked.

  Attributes:
    part: of a case, or `all`.
    repeats: how often each side is timed.
    size: `full` or `small`.
    rivals: of `RIVALS`.
    dtypes: that networks compute in.
    minutes: that `gpu` has.
    sustained: share of the peak that jobs keep up; 0: as measured.
    folder: for results; None prints them alone.
  """

  part: str
  repeats: int
  size: str
  rivals: tuple[str, ...]
  dtypes: tuple[str, ...]
  minutes: float
  sustained: float
  folder: Path | None


def on_cpu() -> bool:
  """Whether there is no accelerator."""
  return jax.default_backend() == "cpu"


def case(name: str, options: Options) -> str:
  """A named case."""
  found = cases.find(name)
  limits = roofline.measure(options.dtypes, options.repeats)
  settings = BenchConfig(
    options.dtypes, options.rivals, options.repeats, limits
  )
  rows = comparison.measure(
    found, found.sizes[options.size], options.part, settings
  )
  return _told(name, rows, options, limits)


def _engines(name: str, options: Options) -> str:
  rows = engines.measure(options.size, options.dtypes, options.repeats)
  return _told(name, rows, options)


def _grid(name: str, options: Options) -> str:
  return _told(name, [grid.row(options.repeats)], options)


def _gpu(name: str, options: Options) -> str:
  del name
  return gpu.measure(
    options.folder or Path(),
    options.size,
    options.rivals,
    options.dtypes,
    repeats=options.repeats,
    minutes=options.minutes,
  )


def _scan(name: str, options: Options) -> str:
  return _told(name, scan.measure(repeats=options.repeats), options)


def _scale(name: str, options: Options) -> str:
  found = cases.find("lenet5")
  size = found.sizes["small"]
  counts = gpu.SETS if options.size == "full" else SETS
  dtype = options.dtypes[-1]
  memory, points = scale.points(found, size, counts, options.repeats, dtype)
  limits = roofline.measure((dtype,), options.repeats)
  best = max(point.image_steps_per_s for point in points)
  share, whose = options.sustained, "as given"
  if not share:
    share = scale.sustained(found, best, limits, dtype)
    whose = (
      f"what {found.name} keeps up of this device's matrix product in {dtype}, "
      "which is below its peak: a lower bound of the hours"
    )
  jobs = scale.described(share, whose)
  rows = scale.rows(found, points, size, dtype)
  told = _told(
    name, rows, options, limits,
    memory=memory._asdict(),
    bytes_by_steps=scale.by_steps(found, size, (8, 64, 256)),
    flop_by_shape=scale.by_shape(),
    jobs=jobs,
  )  # fmt: skip
  return "\n".join([told, *jobs])


def _told(
  name: str,
  rows: list[Row],
  options: Options,
  limits: roofline.Roofline | None = None,
  **more,
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
