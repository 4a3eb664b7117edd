"""The bytes that an instruction moves to and from a device's main memory."""

from jaxkd.bench.aot.hlo_loops import Run
from jaxkd.bench.aot.hlo_text import Computation, Instruction, Program

_READS_PART = {"dynamic-slice", "slice", "gather"}
_WRITES_PART = {"dynamic-update-slice": 1, "scatter": 2}  # operand: the update


def moved_bytes(run: Run, program: Program) -> int:
  """Bytes that one execution reads from and writes to the main memory.

  Of an array that is only sliced, or written in part, the part counts.
  """
  instruction, siblings = run.instruction, run.computation.instructions
  operands = [
    siblings[name] for name in instruction.operands if name in siblings
  ]
  if instruction.opcode == "copy-start":  # its outputs are both copies
    return instruction.num_bytes
  if instruction.opcode == "slice-start":  # source, slice and a semaphore
    part = instruction.outputs[-2]
    off_chip = bool(operands[0].num_bytes) + (not part.on_chip)
    return part.num_bytes * off_chip
  if instruction.opcode in _READS_PART:
    read = full_bytes(instruction) if operands[0].num_bytes else 0
    return read + instruction.num_bytes
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
    is_source = each.operands[0] == parameter
    if each.opcode in _READS_PART and is_source:
      total += full_bytes(each)
    # What a user only writes in part is not read.
    elif not (each.opcode in _WRITES_PART and is_source):
      return fused.instructions[parameter].num_bytes or 2**62
  return total


def _written_bytes(fused: Computation) -> int:
  root = fused.instructions[fused.root]
  if root.opcode in _WRITES_PART:
    update = root.operands[_WRITES_PART[root.opcode]]
    return full_bytes(fused.instructions[update])
  return 2**62


def full_bytes(instruction: Instruction) -> int:
  """Bytes of all outputs, those on the chip included."""
  return sum(each.num_bytes for each in instruction.outputs)
