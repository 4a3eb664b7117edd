"""One case: both sides, checked and then timed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxkd import checks
from jaxkd.bench import sides
from jaxkd.bench.cases import Case, Size
from jaxkd.bench.ceilings import Ceilings
from jaxkd.bench.table import RIVALS, Row, baseline

PARTS = ("synthesis", "student", "end_to_end")


class Settings(NamedTuple):
  """Attributes:

  dtypes: that networks compute in.
  rivals: of `RIVALS`; none are compared if empty.
  repeats: how often each side is timed.
  ceilings: of the device, None if they are not wanted.
  """

  dtypes: tuple[str, ...]
  rivals: tuple[str, ...]
  repeats: int
  ceilings: Ceilings | None = None


def measure(case: Case, size: Size, part: str, settings: Settings) -> list[Row]:
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
  case: Case, size: Size, settings: Settings, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if settings.rivals:
    from jaxkd.bench import agreement, rival_sides

    agreement.check_images(case, size)
  found = []
  for dtype in settings.dtypes:
    ours = sides.our_synthesis(case, size, dtype)
    both = [ours]
    if settings.rivals:
      both += rival_sides.synthesis_sides(
        case, size, dtype, settings.rivals, ours.row.at_once // size.set_size
      )
    found += sides.timed(both, settings.repeats, settings.ceilings)
  return found


def _student(
  case: Case, size: Size, settings: Settings, rows: Sequence[Row]
) -> list[Row]:
  del rows
  if settings.rivals:
    from jaxkd.bench import agreement, rival_sides

    agreement.check_students(case, size)
  found = []
  for dtype in settings.dtypes:
    both = [sides.our_student(case, size, dtype)]
    if settings.rivals:
      both += rival_sides.student_sides(case, size, dtype, settings.rivals)
    found += sides.timed(both, settings.repeats, settings.ceilings)
  return found


def _end_to_end(
  case: Case, size: Size, settings: Settings, rows: Sequence[Row]
) -> list[Row]:
  """Ours is measured; the rival's follows from its rates, if they are known."""
  found = [sides.our_whole(case, size, dtype) for dtype in settings.dtypes]
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


Measure = Callable[[Case, Size, Settings, Sequence[Row]], list[Row]]
MEASURES: dict[str, Measure] = dict(
  zip(PARTS, (_synthesis, _student, _end_to_end), strict=True)
)
