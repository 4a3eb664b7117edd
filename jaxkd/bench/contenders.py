"""The contenders of a comparison: what is timed, and the rows that it gives."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

from jaxkd import models
from jaxkd.bench import costs, student, synthesis, timing
from jaxkd.bench.cases import STUDENT, TEACHER, Case, Size, network
from jaxkd.bench.results import OURS, Row
from jaxkd.bench.roofline import Roofline


class Contender(NamedTuple):
  """A program that is timed.

  Attributes:
    row: the row of the table, without its numbers.
    run: runs the program, which is compiled, and waits for its result; None if
      it can't be run, for the reason in the row's note.
    work: the work of one run, in the row's unit.
    flop: the FLOP of a unit of work.
    bytes: the bytes that one run moves; None if unknown.
  """

  row: Row
  run: Callable[[], object] | None
  work: float = 0.0
  flop: float = 0.0
  bytes: float | None = None


def time_contenders(
  contenders: Sequence[Contender], repeats: int, roofline: Roofline | None
) -> list[Row]:
  """Times all contenders in alternation, and returns their rows."""
  runs = {i: each.run for i, each in enumerate(contenders) if each.run}
  seconds = timing.interleaved(runs, repeats)
  return [
    _fill_row(each, seconds[i], roofline) if i in seconds else each.row
    for i, each in enumerate(contenders)
  ]


def _fill_row(
  contender: Contender, seconds: float, roofline: Roofline | None
) -> Row:
  rate, num_bytes = contender.work / seconds, contender.bytes
  row = contender.row._replace(seconds=seconds, rate=rate)
  if roofline is None:
    return row
  flops = roofline.flops.get(row.dtype)
  return row._replace(
    matrix_share=flops and rate * contender.flop / flops,
    copy_share=num_bytes and num_bytes / seconds / roofline.bytes,
  )


def our_synthesis(case: Case, size: Size, dtype: str) -> Contender:
  """Prepares a round of T steps with as many sets as a run takes at once."""
  teacher = network(case.teacher, case.spec, TEACHER)
  at_once = synthesis.sets_at_once(size, teacher, case.spec, dtype)
  runner = synthesis.synthesis_runner(case, size, teacher, at_once, dtype=dtype)
  step_bytes = costs.moved_bytes(runner.compiled)
  runner.run()
  return Contender(
    Row(
      case.name, "synthesis", OURS, dtype, at_once * size.set_size, None,
      "image-steps", None, note=f"{size.steps} steps",
    ),
    runner.run,
    runner.image_steps,
    costs.image_step(teacher, case.spec),
    step_bytes and step_bytes * size.steps * jax.device_count(),
  )  # fmt: skip


def our_student(case: Case, size: Size, dtype: str) -> Contender:
  """Prepares an epoch of the student, in one dispatch."""
  net = models.with_compute_dtype(
    network(case.student, case.spec, STUDENT), dtype
  )
  samples = student.random_samples(size.samples, case.spec)
  runner = student.StudentRunner(net, samples, size.batch_size)
  runner.epoch()
  return Contender(
    Row(
      case.name, "student", OURS, dtype, size.batch_size, None, "images", None,
      note=f"{case.student}, {size.samples:,} samples on the device",
    ),
    runner.epoch,
    size.samples // size.batch_size * size.batch_size,
    costs.training_step(net, case.spec),
  )  # fmt: skip


def our_end_to_end(case: Case, size: Size, dtype: str) -> Row:
  """Times all rounds and all epochs, after compilation."""
  teacher = network(case.teacher, case.spec, TEACHER)
  at_once = synthesis.sets_at_once(size, teacher, case.spec, dtype)
  runner = synthesis.synthesis_runner(
    case, size, teacher, at_once, rounds=size.sets // at_once, dtype=dtype
  )
  net = models.with_compute_dtype(
    network(case.student, case.spec, STUDENT), dtype
  )
  # This run also completes the compilation.
  samples = runner.run().store.samples
  samples = samples._replace(extras={})
  student_runner = student.StudentRunner(net, samples, size.batch_size)
  student_runner.epoch()

  def train() -> None:
    for _ in range(size.epochs):
      student_runner.epoch()

  synthesis_s, student_s = timing.seconds(runner.run), timing.seconds(train)
  return Row(
    case.name, "end_to_end", OURS, dtype, at_once * size.set_size, None, "",
    synthesis_s + student_s,
    note=f"synthesis {synthesis_s:.3g} s, {size.epochs} epochs "
    f"{student_s:.3g} s; {case.share(size):.3g} of the published image-steps",
  )  # fmt: skip
