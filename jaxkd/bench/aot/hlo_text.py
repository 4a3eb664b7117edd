"""Reads the text of a compiled program: its computations and instructions.

XLA has no interface for what its compilers note beside an instruction, so the
text is read. A test has a short text of each compiler, which fixes what is read
out of it.
"""

import math
import re
from typing import NamedTuple

# `  ROOT %name = shape opcode(operands), attributes`
_INSTRUCTION = re.compile(
  r"\s+(?P<root>ROOT )?%?(?P<name>[\w.-]+) = (?P<rest>.*)"
)
_COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*\{$")
_OPCODE = re.compile(r"\s*(?P<opcode>[a-z][\w-]*)\(")
_ARRAY = re.compile(
  r"(?P<dtype>[a-z]+\d*[a-z0-9]*)\[(?P<sides>[\d,]*)\](?:\{(?P<layout>[^}]*)\})?"
)
_NAME = re.compile(r"%([\w.-]+)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_BITS = re.compile(r"\d+")


class Buffer(NamedTuple):
  """An array as the compiler stores it.

  Attributes:
    num_bytes: in memory, filled up to whole tiles.
    on_chip: whether it is in the fast memory of a TPU's core.
  """

  num_bytes: int
  on_chip: bool


class Instruction(NamedTuple):
  """One operation.

  Attributes:
    name: its name.
    opcode: such as `fusion`.
    outputs: the arrays that it computes.
    operands: names of the instructions that it reads.
    attributes: the text after the operands.
    cycles: the compiler's estimate of one execution; None without one.
  """

  name: str
  opcode: str
  outputs: tuple[Buffer, ...]
  operands: tuple[str, ...]
  attributes: str
  cycles: int | None

  @property
  def num_bytes(self) -> int:
    """Bytes of the outputs in the device's main memory."""
    return sum(each.num_bytes for each in self.outputs if not each.on_chip)

  def called(self, attribute: str) -> list[str]:
    """Names of the computations that an attribute refers to."""
    found = re.search(
      rf"\b{attribute}=(\{{[^}}]*\}}|%[\w.-]+)", self.attributes
    )
    return _NAME.findall(found[1]) if found else []


class Computation(NamedTuple):
  """A function of the program.

  Attributes:
    instructions: in the order of the text.
    root: the name of the one that it returns.
  """

  instructions: dict[str, Instruction]
  root: str


class Program(NamedTuple):
  """The text of a program, read.

  Attributes:
    computations: by name.
    entry: the name of the one that is run.
  """

  computations: dict[str, Computation]
  entry: str


def parse(text: str) -> Program:
  """Reads the text of `jax.stages.Compiled.as_text`."""
  computations: dict[str, Computation] = {}
  entry, name, instructions, root = "", "", {}, ""
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      name, instructions, root = match["name"], {}, ""
      entry = name if match["entry"] else entry
    elif line == "}" and name:
      computations[name] = Computation(instructions, root)
      name = ""
    elif name and (match := _INSTRUCTION.match(line)):
      instruction = _instruction(match["name"], match["rest"])
      instructions[instruction.name] = instruction
      root = instruction.name if match["root"] else root
  return Program(computations, entry)


def _instruction(name: str, rest: str) -> Instruction:
  shape, rest = _split_shape(rest)
  match = _OPCODE.match(rest)
  operands, attributes = _split_brackets(rest[match.end() - 1 :])
  cycles = _CYCLES.search(attributes)
  return Instruction(
    name,
    match["opcode"],
    tuple(_buffer(array) for array in _ARRAY.finditer(shape)),
    tuple(_NAME.findall(operands)) or (operands,),
    attributes,
    int(cycles[1]) if cycles else None,
  )


def _split_shape(text: str) -> tuple[str, str]:
  if text.startswith("("):
    return _split_brackets(text)
  match = _ARRAY.match(text)
  end = match.end() if match else text.index(" ")
  return text[:end], text[end:]


def _split_brackets(text: str) -> tuple[str, str]:
  """Splits a text that begins with a bracket behind its partner."""
  depth = 0
  for index, character in enumerate(text):
    depth += (character == "(") - (character == ")")
    if not depth:
      return text[1:index], text[index + 1 :]
  return text[1:], ""


def _buffer(array: re.Match[str]) -> Buffer:
  sides = tuple(int(side) for side in array["sides"].split(",") if side)
  order, _, tiling = (array["layout"] or "").partition(":")
  number = _BITS.search(array["dtype"])
  bits = int(number[0]) if number else 8
  entries = math.prod(_filled_up(sides, order, tiling))
  return Buffer(math.ceil(entries * bits / 8), "S(1)" in tiling)


def _filled_up(
  sides: tuple[int, ...], order: str, tiling: str
) -> tuple[int, ...]:
  """Sides that are multiples of the tile along the minor axes.

  >>> _filled_up((500, 32, 31), "0,2,1", "T(8,128)(2,1)S(1)")
  (512, 32, 32)
  """
  match = re.match(r"T\(([\d,]+)\)", tiling)
  if not match or not order:
    return sides
  filled = list(sides)
  tile = map(int, reversed(match[1].split(",")))
  for axis, side in zip(map(int, order.split(",")), tile, strict=False):
    filled[axis] = -(-filled[axis] // side) * side
  return tuple(filled)
