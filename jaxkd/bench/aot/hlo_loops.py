"""The instructions that a compiled program executes, and how often."""

from collections.abc import Iterator
import re
from typing import NamedTuple

from jaxkd.bench.aot.hlo_text import Computation, Instruction, Program


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
