"""Convolutions and matrix products of a program, counted from its equations.

XLA's cost analysis counts the body of a loop once. Here the equations of a
traced function are walked, and those in a scan count as often as it runs. All
else (activations, normalisations, random numbers) is left out: next to its
matrix products a network spends little on it where it is fused with them.
"""

from collections.abc import Callable
import math
from typing import NamedTuple

import chex
import jax
import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.evaluation import artefact_operations
from jaxkd.models.cpu import conv

ARTEFACT = "call_exported"  # the primitive that runs an artefact
SHARDED = "shard_map"


class MatrixWork(NamedTuple):
  """Equal convolutions or products.

  Attributes:
    flop: FLOP of one; a multiplication and an addition are two.
    numbers: numbers that one reads and writes.
    count: how many there are.
    summed: numbers of each sum; 0 if that is not known.
    columns: sums with the same factors; 0 if that is not known.
  """

  flop: float
  numbers: float
  count: float = 1.0
  summed: int = 0
  columns: int = 0


class Peak(NamedTuple):
  """What devices do at most, together.

  Attributes:
    flops: FLOP per second.
    numbers: numbers per second that are read or written.
  """

  flops: float
  numbers: float = math.inf


def count(
  function: Callable[..., chex.ArrayTree], *arguments: chex.ArrayTree
) -> list[MatrixWork]:
  """Lists the matrix work of a function as it is defined.

  It is traced for arrays or shapes, without the forms for the CPU.
  """
  with conv.reference_form():
    # A new function, because a trace in another form may be cached.
    jaxpr = jax.make_jaxpr(lambda *trees: function(*trees))(*arguments)
  return of_jaxpr(jaxpr.jaxpr)


def of_jaxpr(jaxpr: jex.Jaxpr, times: float = 1.0) -> list[MatrixWork]:
  """Lists the matrix work of equations that run so often.

  A loop whose length is not known counts as one pass, and of branches the
  dearest counts.
  """
  return [work for eqn in jaxpr.eqns for work in _of_equation(eqn, times)]


def repeated(work: list[MatrixWork], times: float) -> list[MatrixWork]:
  """Returns the work of a function that is called so often."""
  return [each._replace(count=times * each.count) for each in work]


def flop(work: list[MatrixWork], tile: int = 1) -> float:
  """Returns the FLOP of all work.

  Args:
    work: to add up.
    tile: the side of a matrix unit, up to multiples of which sums and columns
      are filled with zeros, where they are known; 128 on a TPU v5e.
  """
  return sum(
    each.flop
    * each.count
    * _filling(each.summed, tile)
    * _filling(each.columns, tile)
    for each in work
  )


def _filling(side: int, tile: int) -> float:
  return -(-side // tile) * tile / side if side else 1.0


def least_seconds(work: list[MatrixWork], peak: Peak) -> float:
  """Returns the roofline time: of each piece the slower of its two sides."""
  return sum(
    each.count * max(each.flop / peak.flops, each.numbers / peak.numbers)
    for each in work
  )


def _of_equation(eqn: jex.JaxprEqn, times: float) -> list[MatrixWork]:
  if eqn.primitive is primitives.dot_general_p:
    return [_product(eqn, times)]
  if eqn.primitive is primitives.conv_general_dilated_p:
    return [_convolution(eqn, times)]
  if eqn.primitive.name == ARTEFACT:
    return _artefact(eqn, times)
  passes = 1
  if eqn.primitive is primitives.scan_p:
    passes = eqn.params["length"]
  elif eqn.primitive.name == SHARDED:  # has the shapes of one device
    passes = eqn.params["mesh"].size
  inner = [
    of_jaxpr(jaxpr, times * passes)
    for jaxpr in jex.jaxprs_in_params(eqn.params)
  ]
  if eqn.primitive is primitives.cond_p:
    return max(inner, key=flop)
  return [work for each in inner for work in each]


def _numbers(eqn: jex.JaxprEqn) -> float:
  return float(sum(var.aval.size for var in (*eqn.invars, *eqn.outvars)))


def _product(eqn: jex.JaxprEqn, times: float) -> MatrixWork:
  (contracted, others), (batch, other_batch) = eqn.params["dimension_numbers"]
  left, right = (var.aval.shape for var in eqn.invars)
  summed = math.prod(left[axis] for axis in contracted)
  kept = [_rest(left, contracted, batch), _rest(right, others, other_batch)]
  return MatrixWork(
    2.0 * eqn.outvars[0].aval.size * summed,
    _numbers(eqn),
    times,
    summed,
    # The shorter side is the one that can be turned towards a unit's columns.
    min(kept),
  )


def _rest(shape: tuple[int, ...], *without: tuple[int, ...]) -> int:
  return math.prod(
    side
    for axis, side in enumerate(shape)
    if not any(axis in axes for axes in without)
  )


def _convolution(eqn: jex.JaxprEqn, times: float) -> MatrixWork:
  kernel = eqn.invars[1].aval.shape
  features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
  return MatrixWork(
    _convolution_flop(eqn),
    _numbers(eqn),
    times,
    math.prod(kernel) // features,
    features,
  )


def _convolution_flop(eqn: jex.JaxprEqn) -> float:
  """Counts products with real pixels, not with padding or with the zeros
  between rows and columns, of which gradients have many.
  """
  specs = eqn.params["dimension_numbers"]
  shapes = [var.aval.shape for var in (*eqn.invars, *eqn.outvars)]
  features, inputs = shapes[1][specs.rhs_spec[0]], shapes[1][specs.rhs_spec[1]]
  batch = shapes[2][specs.out_spec[0]]
  pairs = 1
  for index in range(len(specs.lhs_spec) - 2):
    side, taps, outputs = (
      shape[spec[2 + index]] for shape, spec in zip(shapes, specs, strict=True)
    )
    starts = np.arange(outputs) * eqn.params["window_strides"][index]
    offsets = np.arange(taps) * eqn.params["rhs_dilation"][index]
    gap = eqn.params["lhs_dilation"][index]
    places = starts[:, None] + offsets - eqn.params["padding"][index][0]
    inside = (places >= 0) & (places <= (side - 1) * gap) & (places % gap == 0)
    pairs *= int(inside.sum())
  return 2.0 * batch * features * inputs * pairs


def _artefact(eqn: jex.JaxprEqn, times: float) -> list[MatrixWork]:
  shapes = [
    jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in eqn.invars
  ]
  operations = artefact_operations.operations(
    lambda *arrays: eqn.primitive.bind(*arrays, **eqn.params),
    shapes[0].shape[0],
    *shapes,
  )
  return [
    MatrixWork(each.flop, each.operands + each.results, times)
    for each in operations
  ]
