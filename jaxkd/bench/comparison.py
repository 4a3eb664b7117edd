"""One case: both sides, checked and then timed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxkd.bench import contenders
from jaxkd.bench.cases import Case, Size
from jaxkd.bench.results import RIVALS, Row, baseline
from jaxkd.bench.roofline import Roofline
from jaxkd.config import checks

PARTS = ("synthesis", "student", "end_to_end")


class BenchConfig(NamedTuple):
  """Attributes:

  dtypes: that networks compute in.
  rivals: of `RIVALS`; none are compared if empty.
  repeats: how often each side is timed.
  ceilings: of the device, None if they are not wanted.
  """

  dtypes: tuple[str, ...]
  rivals: tuple[str, ...]
  repeats: int
  ceilings: Roofline | None = None


def measure(
  case: Case, size: Size, part: str, settings: BenchConfig
) -> list[Row]:
  """The rows of one part of a case, or of `all`.

  Raises:
    JaxkdError: for an unknown part, or if the rival does not do the same.
  """
  checks.choice("part", part, (*PARTS, "all"))
  rows: list[Row] = []
  for name in PARTS if part == "all" else (part,):
    print(f"{case.name} {name} ...", flush=True)
    rows += MEASURES[name](case, size, settings, rows)
  return rows


def _synthesis(
  case: Case, size: Size, settings: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if settings.rivals:
    from jaxkd.bench import agreement, torch_contenders

    agreement.check_images(case, size)
  found = []
  for dtype in settings.dtypes:
    ours = contenders.our_synthesis(case, size, dtype)
    both = [ours]
    if settings.rivals:
      both += torch_contenders.synthesis_sides(
        case, size, dtype, settings.rivals, ours.row.at_once // size.set_size
      )
    found += contenders.timed(both, settings.repeats, settings.ceilings)
  return found


def _student(
  case: Case, size: Size, settings: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if settings.rivals:
    from jaxkd.bench import agreement, torch_contenders

    agreement.check_students(case, size)
  found = []
  for dtype in settings.dtypes:
    both = [contenders.our_student(case, size, dtype)]
    if settings.rivals:
      both += torch_contenders.student_sides(case, size, dtype, settings.rivals)
    found += contenders.timed(both, settings.repeats, settings.ceilings)
  return found


def _end_to_end(
  case: Case, size: Size, settings: BenchConfig, rows: Sequence[Row]
) -> list[Row]:
  """Ours is measured; the rival's follows from its rates, if they are known."""
  found = [contenders.our_whole(case, size, dtype) for dtype in settings.dtypes]
  like = Row(
    case.name, "", RIVALS["eager"], "float32", 0, None, "", None
  )  # fmt: skip
  making, learning = (
    baseline(like._replace(part=part), rows) for part in PARTS[:2]
  )
  if making and learning:
    epoch = size.sets * size.set_size // size.batch_size * size.batch_size
    seconds = size.image_steps / making.rate
    seconds += size.epochs * epoch / learning.rate
    found.append(
      like._replace(
        part="end_to_end",
        at_once=making.at_once,
        seconds=seconds,
        note="from its rates",
      )
    )
  return found


Measure = Callable[[Case, Size, BenchConfig, Sequence[Row]], list[Row]]
MEASURES: dict[str, Measure] = dict(
  zip(PARTS, (_synthesis, _student, _end_to_end), strict=True)
)
