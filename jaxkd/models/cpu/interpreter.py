"""Any network in the forms for XLA:CPU, also one that the user brought.

The network is traced, and its equations are evaluated again with convolutions,
max pools and chains of both in the forms of this package. It happens before
differentiation, so that the gradients are those of the forms. Equations inside
of `jax.jit`, `jax.checkpoint`, `lax.scan`, `lax.while_loop` and `lax.cond` are
replaced too, and inside of functions with derivatives of their own, whose rules
for the derivatives stay as their author wrote them.

What is not public in JAX: `bind` of a primitive with changed parameters, as in
`jax.core.eval_jaxpr`, which holds for JAX 0.10 to 0.12.
"""

from collections.abc import Callable, Sequence
import contextvars
import functools
from typing import TypeVar

import chex
import jax
import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.models.cpu import chains, conv, equations
from jaxkd.models.cpu.layouts import (
  Layout,
  Stored,
  Value,
  store,
  unwrap,
  wrap,
)
from jaxkd.types import Array

Result = TypeVar("Result")
AnyJaxpr = jex.Jaxpr | jex.ClosedJaxpr

# Primitives that evaluate a jaxpr, or several, of their parameters.
_CALLS = {
  primitives.jit_p,
  primitives.closed_call_p,
  primitives.remat_p,
  primitives.scan_p,
  primitives.while_p,
  primitives.cond_p,
  primitives.custom_jvp_call_p,
  primitives.custom_vjp_call_p,
}
_ELEMENTWISE = {
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

_inside = contextvars.ContextVar("inside", default=False)


def with_cpu_forms(function: Callable[..., Result]) -> Callable[..., Result]:
  """Returns a function of arrays with its layers in the forms for XLA:CPU.

  Nothing changes on other backends, in `conv.reference_form()`, and where the
  arguments are numbers, since the forms are for what is compiled or
  differentiated. In a call inside of another, the outer one does the work.

  Only first-order reverse-mode derivatives of the result are defined.

  Args:
    function: from trees of arrays to a tree of arrays; it must not keep the
      arrays that it computes by other ways.
  """

  @functools.wraps(function)
  def transformed(*args: chex.ArrayTree) -> Result:
    leaves, tree = jax.tree.flatten(args)
    if (
      _inside.get()
      or not conv.on_cpu()
      or not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    ):
      return function(*args)
    token = _inside.set(True)
    try:
      closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    finally:
      _inside.reset(token)
    outputs = _Interpreter().evaluate(closed, leaves)
    return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

  return transformed


class _Interpreter:
  """Evaluates jaxprs; those that occur several times are rewritten once."""

  def __init__(self):
    self._rewritten: dict[int, tuple[AnyJaxpr, AnyJaxpr | None]] = {}

  def evaluate(
    self, closed: AnyJaxpr, arguments: Sequence[Array]
  ) -> list[Array]:
    """Evaluates a jaxpr with the forms for the CPU."""
    jaxpr, constants = _parts(closed)
    environment: dict[jex.Var, Value] = dict(
      zip(jaxpr.constvars, constants, strict=True)
    )
    environment.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: jex.Var | jex.Literal) -> Value:
      return atom.val if isinstance(atom, jex.Literal) else environment[atom]

    found = chains.find(jaxpr)
    ends = {id(chain.pool[0]): chain for chain in found}
    skipped = {id(eqn) for chain in found for eqn in chain.before_the_pool}
    for eqn in jaxpr.eqns:
      if id(eqn) in skipped:
        continue
      with eqn.ctx.manager:
        if id(eqn) in ends:
          outputs = [chains.evaluate(ends[id(eqn)], read)]
        else:
          outputs = self._apply(eqn, [read(atom) for atom in eqn.invars])
      environment.update(zip(eqn.outvars, outputs, strict=True))
    return [unwrap(read(atom)) for atom in jaxpr.outvars]

  def _apply(self, eqn: jex.JaxprEqn, values: list[Value]) -> list[Value]:
    """Evaluates an equation."""
    if (convolution := equations.convolution(eqn)) is not None:
      x = store(values[0], convolution.inputs)
      kernel = unwrap(values[1]).transpose(convolution.kernel_order)
      return [wrap(convolution(x, kernel), convolution.outputs)]
    if eqn.primitive is primitives.reduce_window_max_p:
      layout = equations.pool_layout(eqn)
      if (pool := equations.pool(eqn, layout)) is not None:
        return [wrap(pool(store(values[0], layout)), layout)]
    layouts = {v.layout for v in values if isinstance(v, Stored)}
    if len(layouts) == 1:
      outputs = _apply_stored(eqn, values, *layouts)
      if outputs is not None:
        return outputs
    params = eqn.params
    if eqn.primitive in _CALLS:
      params = self._rewrite_params(params)
    return _bind(eqn, [unwrap(value) for value in values], params)

  def _rewrite_params(self, params: dict[str, object]) -> dict[str, object]:
    """Rewrites the jaxprs among the parameters of an equation."""

    def rewrite(value: object) -> object:
      if isinstance(value, tuple):
        return tuple(map(rewrite, value))
      return self._rewrite(value) if isinstance(value, AnyJaxpr) else value

    return {name: rewrite(value) for name, value in params.items()}

  def _rewrite(self, jaxpr: AnyJaxpr) -> AnyJaxpr:
    """Returns a jaxpr that computes the same in the forms for the CPU."""
    if id(jaxpr) not in self._rewritten:
      new = jaxpr
      if _has_layers(jaxpr):
        inner, _ = _parts(jaxpr)
        new = jax.make_jaxpr(lambda *args: self.evaluate(jaxpr, args))(
          *(var.aval for var in inner.invars)
        )
        if not isinstance(jaxpr, jex.ClosedJaxpr):
          new = jaxpr if new.consts else new.jaxpr
      # The old one is kept, so that its id belongs to no other.
      self._rewritten[id(jaxpr)] = jaxpr, new
    return self._rewritten[id(jaxpr)][1]


def _parts(jaxpr: AnyJaxpr) -> tuple[jex.Jaxpr, Sequence[Array]]:
  """Returns a jaxpr without its constants, and these."""
  if isinstance(jaxpr, jex.ClosedJaxpr):
    return jaxpr.jaxpr, jaxpr.consts
  return jaxpr, ()


def _has_layers(jaxpr: AnyJaxpr) -> bool:
  """Returns whether a jaxpr has equations that have a form for the CPU."""
  return any(
    eqn.primitive is primitives.conv_general_dilated_p
    or eqn.primitive is primitives.reduce_window_max_p
    or (
      eqn.primitive in _CALLS
      and any(map(_has_layers, jex.jaxprs_in_params(eqn.params)))
    )
    for eqn in _parts(jaxpr)[0].eqns
  )


def _bind(
  eqn: jex.JaxprEqn, values: Sequence[Array], params: dict[str, object]
) -> list[Array]:
  """Evaluates an equation with other parameters."""
  params = eqn.primitive.get_bind_params(params)
  outputs = eqn.primitive.bind(*values, **params)
  return outputs if eqn.primitive.multiple_results else [outputs]


def _apply_stored(
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
  if eqn.primitive.name in _ELEMENTWISE:
    operands = [_store_operand(value, layout, shape) for value in values]
    if any(operand is None for operand in operands):
      return None
    return [Stored(y, layout) for y in _bind(eqn, operands, eqn.params)]
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
    for y in _bind(eqn, operands, eqn.params)
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
  return _bind(eqn, [array], {**eqn.params, "axes": axes})


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
      for inner, _ in map(_parts, jex.jaxprs_in_params(eqn.params))
    )
  return eqn.primitive.name in _ELEMENTWISE
