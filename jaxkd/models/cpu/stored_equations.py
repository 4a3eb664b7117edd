"""Equations whose images are stored in a layout of their own.

Elementwise equations and reductions give the same in any order of the axes, so
that images stay as they are stored between two layers.
"""

from collections.abc import Sequence

import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.models.cpu.layouts import Layout, Stored, Value
from jaxkd.types import Array

AnyJaxpr = jex.Jaxpr | jex.ClosedJaxpr

ELEMENTWISE = {
  "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type",
  "copy", "cos", "div", "eq", "erf", "exp", "expm1", "floor", "ge", "gt",
  "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max",
  "min", "mul", "ne", "neg", "not", "or", "pow", "rsqrt", "select_n", "sign",
  "sin", "sqrt", "square", "sub", "tanh",
}  # fmt: skip
_REDUCTIONS = {
  primitives.reduce_sum_p,
  primitives.reduce_max_p,
  primitives.reduce_min_p,
}


def apply_stored(
  eqn: jex.JaxprEqn, values: list[Value], layout: Layout
) -> list[Value] | None:
  """Evaluates an equation without moving its images, or returns None.

  Args:
    eqn: the equation.
    values: its operands; those that are stored have all the same layout.
    layout: that layout.
  """
  shape, array = next(
    (atom.aval.shape, value.array)
    for atom, value in zip(eqn.invars, values, strict=True)
    if isinstance(value, Stored)
  )
  if eqn.primitive in _REDUCTIONS and layout.factor == 1:
    return _reduce(eqn, array, layout)
  if any(var.aval.shape != shape for var in eqn.outvars):
    return None
  if eqn.primitive.name in ELEMENTWISE:
    operands = [_store_operand(value, layout, shape) for value in values]
    if any(operand is None for operand in operands):
      return None
    return [Stored(y, layout) for y in bind(eqn, operands, eqn.params)]
  if not _is_elementwise(eqn, shape) or not all(
    isinstance(value, Stored) or np.ndim(value) == 0 for value in values
  ):
    return None
  # Each element is computed for itself, so that their order does not matter.
  operands = [
    value.array.reshape(shape) if isinstance(value, Stored) else value
    for value in values
  ]
  return [
    Stored(y.reshape(array.shape), layout)
    for y in bind(eqn, operands, eqn.params)
  ]


def _reduce(
  eqn: jex.JaxprEqn, array: Array, layout: Layout
) -> list[Array] | None:
  """Reduces over rows and columns, or over all axes but the channels'."""
  axes = tuple(layout.order.index(axis) for axis in eqn.params["axes"])
  kept = [axis for axis in range(4) if axis not in axes]
  if [layout.order[axis] for axis in kept] != sorted(
    layout.order[axis] for axis in kept
  ):
    return None
  return bind(eqn, [array], {**eqn.params, "axes": axes})


def _store_operand(
  value: Value, layout: Layout, shape: tuple[int, ...]
) -> Array | None:
  """Stores an operand of an elementwise equation; None where it can't be."""
  if isinstance(value, Stored):
    return value.array
  if np.ndim(value) == 0:
    return value
  if value.shape == shape:
    return layout.store(value)
  if layout.is_per_channel(value.shape, shape[layout.order[3]]):
    return layout.store_vector(value).reshape(1, 1, 1, -1)
  return None


def _is_elementwise(eqn: jex.JaxprEqn, shape: tuple[int, ...]) -> bool:
  """Returns whether an equation computes each element for itself.

  All arrays have the given shape, but for constants, which are scalars.
  """
  atoms = (*eqn.invars, *eqn.outvars)
  if any(
    atom.aval.shape not in ((), shape)
    or (isinstance(atom, jex.Literal) and atom.aval.shape)
    for atom in atoms
  ):
    return False
  if eqn.primitive in (primitives.jit_p, primitives.custom_jvp_call_p):
    return all(
      not any(var.aval.shape for var in inner.constvars)
      and all(_is_elementwise(eqn, shape) for eqn in inner.eqns)
      for inner, _ in map(parts, jex.jaxprs_in_params(eqn.params))
    )
  return eqn.primitive.name in ELEMENTWISE


def bind(
  eqn: jex.JaxprEqn, values: Sequence[Array], params: dict[str, object]
) -> list[Array]:
  """Evaluates an equation with other parameters."""
  params = eqn.primitive.get_bind_params(params)
  outputs = eqn.primitive.bind(*values, **params)
  return outputs if eqn.primitive.multiple_results else [outputs]


def parts(jaxpr: AnyJaxpr) -> tuple[jex.Jaxpr, Sequence[Array]]:
  """Returns a jaxpr without its constants, and these."""
  if isinstance(jaxpr, jex.ClosedJaxpr):
    return jaxpr.jaxpr, jaxpr.consts
  return jaxpr, ()
