"""Convolutions and products inside of artefacts, whose equations JAX hides.

They are read from the StableHLO that a call of an artefact is lowered to.
"""

from collections.abc import Callable
import math
import re
from typing import NamedTuple

import chex
import jax
from jax.interpreters import mlir

CONVOLUTION, PRODUCT = "stablehlo.convolution", "stablehlo.dot_general"
BRANCHES = "stablehlo.case"


class ArtefactOperation(NamedTuple):
  """A convolution or product.

  Attributes:
    flop: its FLOP, products with padding included.
    operands: numbers that it reads.
    results: numbers that it writes.
  """

  flop: float
  operands: int
  results: int


def operations(
  function: Callable[..., chex.ArrayTree],
  batch: int,
  *arguments: chex.ArrayTree,
) -> list[ArtefactOperation]:
  """Lists the convolutions and products of a function that calls an artefact.

  Nothing is compiled. Branches are for one kind of device each; the one with
  the fewest operations counts.

  Args:
    function: is lowered.
    batch: the size of the batch, which the artefact leaves open.
    *arguments: of the function, arrays or shapes.
  """
  module = jax.jit(function).lower(*arguments).compiler_ir("stablehlo")
  return _inside(module.operation, batch)


def _inside(
  operation: mlir.ir.Operation, batch: int
) -> list[ArtefactOperation]:
  if operation.name in (CONVOLUTION, PRODUCT):
    return [_measure(operation, batch)]
  regions = [
    [
      each
      for block in region
      for child in block.operations
      for each in _inside(child.operation, batch)
    ]
    for region in operation.regions
  ]
  if operation.name == BRANCHES:
    return min(regions, key=len)
  return sum(regions, [])


def _measure(operation: mlir.ir.Operation, batch: int) -> ArtefactOperation:
  # A size that is left open is a negative number.
  left, right, result = (
    [size if size >= 0 else batch for size in value.type.shape]
    for value in (*operation.operands, *operation.results)
  )
  if operation.name == CONVOLUTION:
    numbers = str(operation.attributes["dimension_numbers"])
    (kernel,) = re.findall(r"x\[(.*?)\]->", numbers)
    outputs = kernel.replace(" ", "").split(",").index("o")
    summed = math.prod(right) // right[outputs]
  else:
    numbers = str(operation.attributes["dot_dimension_numbers"])
    (axes,) = re.findall(r"lhs_contracting_dimensions = \[(.*?)\]", numbers)
    summed = math.prod(left[int(axis)] for axis in axes.split(","))
  return ArtefactOperation(
    2.0 * math.prod(result) * summed,
    math.prod(left) + math.prod(right),
    math.prod(result),
  )
