"""The comparison of a case: results are checked first, and then timed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxkd.bench import contenders
from jaxkd.bench.cases import Case, Size
from jaxkd.bench.results import TORCH_MODES, Row, baseline
from jaxkd.bench.roofline import Roofline
from jaxkd.config import checks

PARTS = ("synthesis", "student", "end_to_end")


class BenchConfig(NamedTuple):
  """The options of a comparison.

  Attributes:
    dtypes: the types that networks compute in.
    torch_modes: keys of `TORCH_MODES`; if empty, PyTorch is not timed.
    repeats: the number of times that each contender is timed.
    roofline: the rates of the device; None leaves out the shares of them.
  """

  dtypes: tuple[str, ...]
  torch_modes: tuple[str, ...]
  repeats: int
  roofline: Roofline | None = None


def measure(
  case: Case, size: Size, part: str, config: BenchConfig
) -> list[Row]:
  """Measures one part of a case, or `all` parts.

  Raises:
    JaxkdError: for an unknown part, or if PyTorch's results differ from ours.
  """
  checks.choice("part", part, (*PARTS, "all"))
  rows: list[Row] = []
  for name in PARTS if part == "all" else (part,):
    print(f"{case.name} {name} ...", flush=True)
    rows += MEASURES[name](case, size, config, rows)
  return rows


def _synthesis(
  case: Case, size: Size, config: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if config.torch_modes:
    # PyTorch is an optional package.
    from jaxkd.bench import agreement, torch_contenders

    agreement.check_images(case, size)
  results = []
  for dtype in config.dtypes:
    contender = contenders.our_synthesis(case, size, dtype)
    programs = [contender]
    if config.torch_modes:
      sets_at_once = contender.row.at_once // size.set_size
      programs += torch_contenders.synthesis_contenders(
        case, size, dtype, config.torch_modes, sets_at_once
      )
    results += contenders.time_contenders(
      programs, config.repeats, config.roofline
    )
  return results


def _student(
  case: Case, size: Size, config: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if config.torch_modes:
    # PyTorch is an optional package.
    from jaxkd.bench import agreement, torch_contenders

    agreement.check_students(case, size)
  results = []
  for dtype in config.dtypes:
    programs = [contenders.our_student(case, size, dtype)]
    if config.torch_modes:
      programs += torch_contenders.student_contenders(
        case, size, dtype, config.torch_modes
      )
    results += contenders.time_contenders(
      programs, config.repeats, config.roofline
    )
  return results


def _end_to_end(
  case: Case, size: Size, config: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  """Measures our time; computes PyTorch's from its rates if they are known."""
  results = [
    contenders.our_end_to_end(case, size, dtype) for dtype in config.dtypes
  ]
  torch_row = Row(
    case.name, "", TORCH_MODES["eager"], "float32", 0, None, "", None
  )  # fmt: skip
  synthesis, student = (
    baseline(torch_row._replace(part=part), rows) for part in PARTS[:2]
  )
  if synthesis and student:
    epoch = size.sets * size.set_size // size.batch_size * size.batch_size
    seconds = size.image_steps / synthesis.rate
    seconds += size.epochs * epoch / student.rate
    results.append(
      torch_row._replace(
        part="end_to_end",
        at_once=synthesis.at_once,
        seconds=seconds,
        note="computed from its rates",
      )
    )
  return results


Measure = Callable[[Case, Size, BenchConfig, Sequence[Row]], list[Row]]
MEASURES: dict[str, Measure] = dict(
  zip(PARTS, (_synthesis, _student, _end_to_end), strict=True)
)
