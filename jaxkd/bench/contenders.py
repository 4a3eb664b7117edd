"""The sides of a comparison, and the rows that they give."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jaxkd import models
from jaxkd.bench import costs, student, synthesis, timing
from jaxkd.bench.cases import STUDENT, TEACHER, Case, Size, network
from jaxkd.bench.results import OURS, Row
from jaxkd.bench.roofline import Roofline


class Contender(NamedTuple):
  """Something that is timed.

  Attributes:
    row: of the table, without its numbers.
    run: does the work, and waits; it is warm. None if it can't be run, for the
      reason in the row's note.
    work: that one run does, in the row's unit.
    flop: of a unit of work.
    bytes: that one run moves, None if not known.
  """

  row: Row
  run: Callable[[], Any] | None
  work: float = 0.0
  flop: float = 0.0
  bytes: float | None = None


def timed(
  sides: Sequence[Contender], repeats: int, ceilings: Roofline | None
) -> list[Row]:
  """The rows of all sides, which take turns."""
  runs = {i: side.run for i, side in enumerate(sides) if side.run}
  seconds = timing.interleaved(runs, repeats)
  return [
    _filled(side, seconds[i], ceilings) if i in seconds else side.row
    for i, side in enumerate(sides)
  ]


def _filled(side: Contender, seconds: float, ceilings: Roofline | None) -> Row:
  row = side.row._replace(seconds=seconds, rate=side.work / seconds)
  if ceilings is None:
    return row
  flops = ceilings.flops.get(row.dtype)
  return row._replace(
    matrix_share=flops and row.rate * side.flop / flops,
    copy_share=side.bytes and side.bytes / seconds / ceilings.bytes,
  )


def our_synthesis(case: Case, size: Size, dtype: str) -> Contender:
  """One round: as many sets as a run takes at once, T steps."""
  teacher = network(case.teacher, case.spec, TEACHER)
  at_once = synthesis.sets_at_once(size, teacher, case.spec)
  maker = synthesis.synthesis_runner(case, size, teacher, at_once, dtype=dtype)
  moved = costs.moved_bytes(maker.compiled)
  maker.run()
  return Contender(
    Row(
      case.name, "synthesis", OURS, dtype, at_once * size.set_size, None,
      "image-steps", None, note=f"{size.steps} steps",
    ),
    maker.run,
    maker.image_steps,
    costs.image_step(teacher, case.spec),
    moved and moved * size.steps * jax.device_count(),
  )  # fmt: skip


def our_student(case: Case, size: Size, dtype: str) -> Contender:
  """One epoch, in one dispatch."""
  net = models.with_compute_dtype(
    network(case.student, case.spec, STUDENT), dtype
  )
  samples = student.random_samples(size.samples, case.spec)
  pupil = student.StudentRunner(net, samples, size.batch_size)
  pupil.epoch()
  return Contender(
    Row(
      case.name, "student", OURS, dtype, size.batch_size, None, "images", None,
      note=f"{case.student}, {size.samples:,} samples on the device",
    ),
    pupil.epoch,
    size.samples // size.batch_size * size.batch_size,
    costs.training_step(net, case.spec),
  )  # fmt: skip


def our_whole(case: Case, size: Size, dtype: str) -> Row:
  """All rounds and all epochs, after compilation: the end-to-end time."""
  teacher = network(case.teacher, case.spec, TEACHER)
  at_once = synthesis.sets_at_once(size, teacher, case.spec)
  maker = synthesis.synthesis_runner(
    case, size, teacher, at_once, rounds=size.sets // at_once, dtype=dtype
  )
  net = models.with_compute_dtype(
    network(case.student, case.spec, STUDENT), dtype
  )
  # The first run compiles what is left, and makes the samples.
  samples = maker.run().store.samples
  samples = samples._replace(extras={})
  pupil = student.StudentRunner(net, samples, size.batch_size)
  pupil.epoch()

  def learn() -> None:
    for _ in range(size.epochs):
      pupil.epoch()

  making, learning = timing.seconds(maker.run), timing.seconds(learn)
  return Row(
    case.name, "end_to_end", OURS, dtype, at_once * size.set_size, None, "",
    making + learning,
    note=f"synthesis {making:.3g} s, {size.epochs} epochs {learning:.3g} s; "
    f"{case.share(size):.3g} of the published image-steps",
  )  # fmt: skip
