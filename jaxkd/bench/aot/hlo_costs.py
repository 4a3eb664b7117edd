"""What a compiled program does, counted in its text.

Instructions in the body of a loop count as often as it runs. All numbers are
the compiler's: estimates, not measurements.
"""

from collections import Counter
from collections.abc import Iterator
import re
from typing import NamedTuple

from jaxkd.bench.aot.hlo_bytes import full_bytes, moved_bytes
from jaxkd.bench.aot.hlo_loops import Run, executed, trip_count
from jaxkd.bench.aot.hlo_text import Instruction, Program

COLLECTIVES = (
  "all-reduce", "all-gather", "reduce-scatter", "all-to-all",
  "collective-permute", "collective-broadcast", "ragged-all-to-all",
)  # fmt: skip
# Instructions that neither compute nor move anything.
FREE = {
  "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
  "partition-id", "replica-id", "while", "conditional", "call", "iota",
  "opt-barrier",
}  # fmt: skip
_HOST = re.compile(
  r'custom_call_target="[^"]*callback[^"]*"|\s(?:infeed|outfeed|send|recv)\('
)
_SOURCE = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
  """An operation between devices.

  Attributes:
    opcode: one of `COLLECTIVES`.
    num_bytes: of its output on a device.
    times: how often it is executed.
    loops: how many loops it is inside of.
    source: where it comes from in the program.
  """

  opcode: str
  num_bytes: int
  times: int
  loops: int
  source: str


class Operation(NamedTuple):
  """What one instruction costs in all its executions.

  Attributes:
    name: its name and where it comes from.
    cycles: by the compiler's estimate, or None.
    num_bytes: that it moves to and from the main memory.
    times: how often it is executed.
  """

  name: str
  cycles: int | None
  num_bytes: int
  times: int


class ProgramCosts(NamedTuple):
  """What a program costs on one device.

  Attributes:
    cycles: the sum of all estimates; 0 if the compiler makes none.
    num_bytes: moved to and from the main memory.
    collectives: operations between devices.
    dearest: the five operations with the most cycles, or the most bytes where
      there are no cycles.
    without_estimate: how many executed operations have no cycles, by opcode.
    endless: loops whose number of repeats is not in the text; counted once.
    float64: whether anything is computed in float64.
    on_host: whether the program calls the host.
  """

  cycles: int
  num_bytes: int
  collectives: tuple[Collective, ...]
  dearest: tuple[Operation, ...]
  without_estimate: dict[str, int]
  endless: int
  float64: bool
  on_host: bool


def count(program: Program, text: str) -> ProgramCosts:
  """Counts what a program costs; `text` is what it was read from."""
  runs = [
    run
    for run in executed(program)
    if run.instruction.opcode not in FREE
    and not run.instruction.opcode.endswith("-done")
  ]
  operations = [
    Operation(
      _label(run.instruction),
      run.instruction.cycles and run.instruction.cycles * run.times,
      moved_bytes(run, program) * run.times,
      run.times,
    )
    for run in runs
  ]
  cycles = sum(each.cycles or 0 for each in operations)
  without = Counter(
    run.instruction.opcode for run in runs if run.instruction.cycles is None
  )
  dearest = sorted(
    operations,
    key=lambda each: (each.cycles or 0) if cycles else each.num_bytes,
    reverse=True,
  )
  return ProgramCosts(
    cycles,
    sum(each.num_bytes for each in operations),
    tuple(_collectives(runs)),
    tuple(dearest[:5]),
    dict(without.most_common()),
    sum(
      trip_count(each, program) is None
      for computation in program.computations.values()
      for each in computation.instructions.values()
      if each.opcode == "while"
    ),
    bool(re.search(r"\bf64\[", text)),
    bool(_HOST.search(text)),
  )


def _collectives(runs: list[Run]) -> Iterator[Collective]:
  for run in runs:
    opcode = run.instruction.opcode.removesuffix("-start")
    if opcode in COLLECTIVES:
      source = _SOURCE.search(run.instruction.attributes)
      yield Collective(
        opcode,
        full_bytes(run.instruction),
        run.times,
        run.loops,
        source[1] if source else "",
      )


def _label(instruction: Instruction) -> str:
  source = _SOURCE.search(instruction.attributes)
  where = source[1].replace("closed_call/", "") if source else ""
  return f"{instruction.opcode} {instruction.name} {where}".strip()
