"""The equations of a traced network, evaluated by a rule of the caller.

Equations that only call others, as those of `jax.jit` and of functions with
derivatives of their own, are opened, so that a rule sees what is computed.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.extend.core as jex
from jax.extend.core import primitives

from jaxkd.models.cpu import conv
from jaxkd.models.cpu.stored_equations import AnyJaxpr, parts
from jaxkd.types import Array, Classifier

Value = TypeVar("Value")
Rule = Callable[[jex.JaxprEqn, list[Value]], Sequence[Value]]

_CALLS = {
  primitives.jit_p,
  primitives.closed_call_p,
  primitives.remat_p,
  primitives.custom_jvp_call_p,
  primitives.custom_vjp_call_p,
}


def trace(classifier: Classifier, images: Array) -> jex.ClosedJaxpr:
  """Returns the equations of a network's logits for `images [N, ...]`.

  Their arguments are the leaves of its variables, then the images.
  """
  leaves, tree = jax.tree.flatten(classifier.variables)

  def logits(leaves: list[Array], images: Array) -> Array:
    variables = jax.tree.unflatten(tree, leaves)
    return classifier.apply(variables, images)[0].logits

  with conv.reference_form():
    return jax.make_jaxpr(logits)(leaves, images)


def evaluate(
  jaxpr: AnyJaxpr,
  arguments: Sequence[Value],
  rule: Rule,
  constant: Callable[[Array], Value],
) -> list[Value]:
  """Evaluates equations in order.

  Args:
    jaxpr: of the network.
    arguments: their values.
    rule: `(equation, operands) -> results`.
    constant: gives the value of an array that the equations hold.
  """
  inner, constants = parts(jaxpr)
  values = dict(zip(inner.constvars, map(constant, constants), strict=True))
  values.update(zip(inner.invars, arguments, strict=True))

  def read(atom: jex.Var | jex.Literal) -> Value:
    return constant(atom.val) if isinstance(atom, jex.Literal) else values[atom]

  for eqn in inner.eqns:
    operands = [read(atom) for atom in eqn.invars]
    if eqn.primitive in _CALLS:
      (called,) = jex.jaxprs_in_params(eqn.params)
      results = evaluate(called, operands, rule, constant)
    else:
      results = rule(eqn, operands)
    values.update(zip(eqn.outvars, results, strict=True))
  return [read(atom) for atom in inner.outvars]
