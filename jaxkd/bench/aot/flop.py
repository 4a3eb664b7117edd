"""FLOP of the matrix products and convolutions of a traced program.

They are counted in the program as it is defined, the body of a loop as often as
it runs. XLA's own count has the body of each loop once.
"""

import math

import jax
import jax.extend.core as jex
from jax.extend.core import primitives

from jaxkd.runtime.devices import Program


def count(program: Program) -> int:
  """Counts the FLOP of one device; of a conditional the dearest branch."""
  return _count(jax.make_jaxpr(program.function)(*program.arguments))


def _count(jaxpr: jex.Jaxpr | jex.ClosedJaxpr) -> int:
  return sum(_count_equation(eqn) for eqn in jaxpr.eqns)


def _count_equation(eqn: jex.JaxprEqn) -> int:
  if eqn.primitive is primitives.dot_general_p:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    inner = math.prod(shape[axis] for axis in contracted)
    return 2 * inner * math.prod(eqn.outvars[0].aval.shape)
  if eqn.primitive is primitives.conv_general_dilated_p:
    kernel = eqn.invars[1].aval.shape
    channels = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
    output = eqn.outvars[0].aval.shape
    # Zeros of a dilated input are not multiplied.
    spread = math.prod(eqn.params["lhs_dilation"])
    products = math.prod(output) * math.prod(kernel) // channels // spread
    return 2 * products
  inner = [_count(each) for each in jex.jaxprs_in_params(eqn.params)]
  if eqn.primitive is primitives.cond_p:
    return max(inner)
  if eqn.primitive is primitives.scan_p:
    return eqn.params["length"] * sum(inner)
  return sum(inner)
