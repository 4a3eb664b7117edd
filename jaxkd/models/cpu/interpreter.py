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

from jaxkd.models.cpu import chains, conv, equations
from jaxkd.models.cpu.layouts import Stored, Value, store, unwrap, wrap
from jaxkd.models.cpu.stored_equations import (
  AnyJaxpr,
  apply_stored,
  bind,
  parts,
)
from jaxkd.types import Array

Result = TypeVar("Result")

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
    jaxpr, constants = parts(closed)
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
      outputs = apply_stored(eqn, values, *layouts)
      if outputs is not None:
        return outputs
    params = eqn.params
    if eqn.primitive in _CALLS:
      params = self._rewrite_params(params)
    return bind(eqn, [unwrap(value) for value in values], params)

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
        inner, _ = parts(jaxpr)
        new = jax.make_jaxpr(lambda *args: self.evaluate(jaxpr, args))(
          *(var.aval for var in inner.invars)
        )
        if not isinstance(jaxpr, jex.ClosedJaxpr):
          new = jaxpr if new.consts else new.jaxpr
      # The old one is kept, so that its id belongs to no other.
      self._rewritten[id(jaxpr)] = jaxpr, new
    return self._rewritten[id(jaxpr)][1]


def _has_layers(jaxpr: AnyJaxpr) -> bool:
  """Returns whether a jaxpr has equations that have a form for the CPU."""
  return any(
    eqn.primitive is primitives.conv_general_dilated_p
    or eqn.primitive is primitives.reduce_window_max_p
    or (
      eqn.primitive in _CALLS
      and any(map(_has_layers, jex.jaxprs_in_params(eqn.params)))
    )
    for eqn in parts(jaxpr)[0].eqns
  )
