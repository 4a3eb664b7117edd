"""FLOP of the matrix products and convolutions of a traced function.

They are counted in the function as it is defined, the body of a loop as often
as it runs. XLA's own count has the body of each loop once.
"""

import math

import jax.extend.core as jex
from jax.extend.core import primitives


def count(jaxpr: jex.Jaxpr | jex.ClosedJaxpr, tile: int = 1) -> int:
  """Counts the FLOP; of a conditional those of the dearest branch.

  Args:
    jaxpr: from `jax.make_jaxpr`.
    tile: the side of a matrix unit, up to multiples of which the summed axes
      and the channels of the output are filled with zeros; 128 on a TPU v5e.
  """
  return sum(_count_equation(eqn, tile) for eqn in jaxpr.eqns)


def _count_equation(eqn: jex.JaxprEqn, tile: int) -> int:
  if eqn.primitive is primitives.dot_general_p:
    return _count_product(eqn, tile)
  if eqn.primitive is primitives.conv_general_dilated_p:
    return _count_convolution(eqn, tile)
  inner = [count(each, tile) for each in jex.jaxprs_in_params(eqn.params)]
  if eqn.primitive is primitives.cond_p:
    return max(inner)
  if eqn.primitive is primitives.scan_p:
    return eqn.params["length"] * sum(inner)
  return sum(inner)


def _count_product(eqn: jex.JaxprEqn, tile: int) -> int:
  (contracted, other), (batch, other_batch) = eqn.params["dimension_numbers"]
  left, right = (var.aval.shape for var in eqn.invars)
  summed = math.prod(left[axis] for axis in contracted)
  batches = math.prod(left[axis] for axis in batch)
  rows = math.prod(left) // (summed * batches or 1)
  columns = math.prod(
    side
    for axis, side in enumerate(right)
    if axis not in (*other, *other_batch)
  )
  # The shorter side is the one that can be turned towards the unit's columns.
  rows, columns = max(rows, columns), min(rows, columns)
  return 2 * batches * rows * _filled(summed, tile) * _filled(columns, tile)


def _count_convolution(eqn: jex.JaxprEqn, tile: int) -> int:
  kernel = eqn.invars[1].aval.shape
  channels = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
  output = eqn.outvars[0].aval.shape
  # Zeros between the entries of a dilated input are not multiplied.
  spread = math.prod(eqn.params["lhs_dilation"])
  places = math.prod(output) // channels // spread
  summed = math.prod(kernel) // channels
  return 2 * places * _filled(summed, tile) * _filled(channels, tile)


def _filled(side: int, tile: int) -> int:
  return -(-side // tile) * tile
