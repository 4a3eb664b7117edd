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
from jaxkd.types import Array, Classifier, JaxkdError

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

  Raises:
    JaxkdError: if the network can't be traced for as many images.
  """
  leaves, tree = jax.tree.flatten(classifier.variables)

  def logits(leaves: list[Array], images: Array) -> Array:
    variables = jax.tree.unflatten(tree, leaves)
    return classifier.apply(variables, images)[0].logits

  try:
    with conv.reference_form():
      return jax.make_jaxpr(logits)(leaves, images)
  except Exception as error:  # a network of the user's may raise any
    raise JaxkdError(f"{classifier.name!r} can't be traced: {error}") from error


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

  last = {
    var: number
    for number, eqn in enumerate(inner.eqns)
    for var in _variables(eqn)
  }
  results_of_all = {v for v in inner.outvars if not isinstance(v, jex.Literal)}
  for number, eqn in enumerate(inner.eqns):
    operands = [read(atom) for atom in eqn.invars]
    if eqn.primitive in _CALLS:
      (called,) = jex.jaxprs_in_params(eqn.params)
      results = evaluate(called, operands, rule, constant)
    else:
      results = rule(eqn, operands)
    values.update(zip(eqn.outvars, results, strict=True))
    # What no other equation reads is freed; a large network would not fit.
    for var in _variables(eqn) - results_of_all:
      if last[var] == number:
        del values[var]
  return [read(atom) for atom in inner.outvars]


def _variables(eqn: jex.JaxprEqn) -> set[jex.Var]:
  """Returns what an equation reads and makes."""
  atoms = (*eqn.invars, *eqn.outvars)
  return {atom for atom in atoms if not isinstance(atom, jex.Literal)}
