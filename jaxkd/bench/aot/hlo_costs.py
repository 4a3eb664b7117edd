"""What a compiled program does, counted in its text.

Instructions in the body of a loop count as often as it runs. All numbers are
the compiler's: estimates, not measurements.
"""

from collections import Counter
from collections.abc import Iterator
import re
from typing import NamedTuple

from jaxkd.bench.aot.hlo_text import Computation, Instruction, Program

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
_READS_PART = {"dynamic-slice", "slice", "gather"}
_WRITES_PART = {"dynamic-update-slice": 1, "scatter": 2}  # operand: the update
_HOST = re.compile(
  r'custom_call_target="[^"]*callback[^"]*"|\s(?:infeed|outfeed|send|recv)\('
)
_SOURCE = re.compile(r'op_name="([^"]*)"')


class Run(NamedTuple):
  """An instruction that the program executes.

  Attributes:
    instruction: itself.
    computation: that it is part of.
    times: how often it is executed.
    loops: how many loops it is inside of.
  """

  instruction: Instruction
  computation: Computation
  times: int
  loops: int


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


def executed(program: Program) -> Iterator[Run]:
  """Yields all instructions that run, those of loops with their number.

  Of a conditional the dearest branch counts.
  """

  def visit(name: str, times: int, loops: int) -> Iterator[Run]:
    computation = program.computations[name]
    for each in computation.instructions.values():
      yield Run(each, computation, times, loops)
      if each.opcode == "while":
        repeats = trip_count(each, program) or 1
        (body,) = each.called("body")
        yield from visit(body, times * repeats, loops + 1)
      elif each.opcode == "conditional":
        branches = each.called("branch_computations") or [
          *each.called("true_computation"), *each.called("false_computation")
        ]  # fmt: skip
        yield from max(
          ([*visit(branch, times, loops)] for branch in branches),
          key=lambda runs: sum(
            (run.instruction.cycles or 0) * run.times for run in runs
          ),
        )
      elif each.opcode == "call":
        for called in each.called("to_apply"):
          yield from visit(called, times, loops)

  yield from visit(program.entry, 1, 0)


def trip_count(loop: Instruction, program: Program) -> int | None:
  """How often the body of a loop runs; None if that is not in the text.

  It is in the attributes, or the condition compares a counter with a constant.
  """
  known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
  if known:
    return int(known[1])
  (name,) = loop.called("condition")
  condition = program.computations[name]
  root = condition.instructions[condition.root]
  if root.opcode == "fusion":
    operands = root.operands
    inner = program.computations[root.called("calls")[0]]
    root = inner.instructions[inner.root]
  else:
    operands = root.operands
  if root.opcode != "compare" or "direction=LT" not in root.attributes:
    return None
  limits = [
    condition.instructions[operand].operands[0]
    for operand in operands
    if operand in condition.instructions
    and condition.instructions[operand].opcode == "constant"
  ]
  return int(limits[0]) if len(limits) == 1 and limits[0].isdecimal() else None


def moved_bytes(run: Run, program: Program) -> int:
  """Bytes that one execution reads from and writes to the main memory.

  Of an array that is only sliced, or written in part, the part counts.
  """
  instruction, siblings = run.instruction, run.computation.instructions
  operands = [
    siblings[name] for name in instruction.operands if name in siblings
  ]
  if instruction.opcode in _READS_PART:
    return 2 * instruction.num_bytes
  if instruction.opcode in _WRITES_PART:
    return 2 * operands[_WRITES_PART[instruction.opcode]].num_bytes
  called = instruction.called("calls")
  if instruction.opcode != "fusion" or not called:
    read = sum(operand.num_bytes for operand in operands)
    return read + instruction.num_bytes
  fused = program.computations[called[0]]
  parameters = {
    int(each.operands[0]): each.name
    for each in fused.instructions.values()
    if each.opcode == "parameter"
  }
  read = sum(
    min(operand.num_bytes, _read_bytes(fused, parameters[index]))
    if index in parameters
    else operand.num_bytes
    for index, operand in enumerate(operands)
  )
  return read + min(instruction.num_bytes, _written_bytes(fused))


def _read_bytes(fused: Computation, parameter: str) -> int:
  """Bytes of a parameter that a fusion reads, at most."""
  users = [
    each for each in fused.instructions.values() if parameter in each.operands
  ]
  total = 0
  for each in users:
    if each.opcode in _READS_PART and each.operands[0] == parameter:
      total += _full_bytes(each)
    elif each.opcode in _WRITES_PART and each.operands[0] == parameter:
      total += 0
    else:
      return fused.instructions[parameter].num_bytes or 2**62
  return total


def _written_bytes(fused: Computation) -> int:
  root = fused.instructions[fused.root]
  if root.opcode in _WRITES_PART:
    update = root.operands[_WRITES_PART[root.opcode]]
    return _full_bytes(fused.instructions[update])
  return 2**62


def _full_bytes(instruction: Instruction) -> int:
  return sum(each.num_bytes for each in instruction.outputs)


def _collectives(runs: list[Run]) -> Iterator[Collective]:
  for run in runs:
    opcode = run.instruction.opcode.removesuffix("-start")
    if opcode in COLLECTIVES:
      source = _SOURCE.search(run.instruction.attributes)
      yield Collective(
        opcode,
        _full_bytes(run.instruction),
        run.times,
        run.loops,
        source[1] if source else "",
      )


def _label(instruction: Instruction) -> str:
  source = _SOURCE.search(instruction.attributes)
  where = source[1].replace("closed_call/", "") if source else ""
  return f"{instruction.opcode} {instruction.name} {where}".strip()
