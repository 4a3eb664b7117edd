"""Chains of a convolution, bias, ReLU and max pool in a traced function.

Bias and ReLU are monotone, so the pool may come before them, which gives the
same values and a quarter of the work. The convolution is then computed in the
space-to-depth layout if it is narrow (`jaxkd.models.cpu.space_to_depth`), and
two of them as in LeNet without leaving that layout in between.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
import functools

import jax
from jax import lax
import jax.extend.core as jex
from jax.extend.core import primitives
import numpy as np

from jaxkd.models.cpu import equations, space_to_depth, winograd
from jaxkd.models.cpu.equations import Convolution, Pool
from jaxkd.models.cpu.layouts import Layout, Stored, Value, store, unwrap, wrap
from jaxkd.types import Array

# With more input channels the zeros that space to depth multiplies cost more
# than the wider products save; small kernels have more of them.
MAX_CHANNELS_SMALL, MAX_CHANNELS = 8, 24  # below 5x5, and from there on


@dataclass
class Chain:
  """A convolution, its biases and ReLUs, and the pool that follows.

  Attributes:
    convolution: the equation of the convolution, and what it computes.
    steps: the equations of biases and ReLUs, each with what it is applied to.
    pool: the equation of the pool, and what it computes.
    factor: of the space-to-depth layout, 1 if it is not used.
  """

  convolution: tuple[jex.JaxprEqn, Convolution]
  steps: list[tuple[jex.JaxprEqn, jex.Var]]
  pool: tuple[jex.JaxprEqn, Pool]
  factor: int = 1

  @property
  def before_the_pool(self) -> list[jex.JaxprEqn]:
    """The equations that need not be evaluated but as parts of the chain."""
    return [self.convolution[0], *(step for step, _ in self.steps)]


def find(jaxpr: jex.Jaxpr) -> list[Chain]:
  """Finds the chains of which nothing but the result is used elsewhere."""
  uses: dict[jex.Var, list[jex.JaxprEqn]] = defaultdict(list)
  for eqn in jaxpr.eqns:
    for atom in eqn.invars:
      if isinstance(atom, jex.Var):
        uses[atom].append(eqn)
  kept = {atom for atom in jaxpr.outvars if isinstance(atom, jex.Var)}
  chains = []
  for eqn in jaxpr.eqns:
    convolution = equations.convolution(eqn)
    if convolution is None:
      continue
    steps, var = [], eqn.outvars[0]
    while len(uses[var]) == 1 and var not in kept:
      (user,) = uses[var]
      pool = equations.pool(user, convolution.outputs)
      if pool is not None and pool.padding == ((0, 0), (0, 0)):
        chains.append(Chain((eqn, convolution), steps, (user, pool)))
        break
      if not _is_step(user, var, convolution.outputs):
        break
      steps.append((user, var))
      var = user.outvars[0]
  _choose_factors(chains, uses)
  return chains


def _choose_factors(
  chains: list[Chain], uses: dict[jex.Var, list[jex.JaxprEqn]]
) -> None:
  """Chooses the space-to-depth factor of each chain, the last one first."""
  by_convolution = {id(chain.convolution[0]): chain for chain in chains}
  for chain in reversed(chains):
    chain.factor = 2 if _fits(chain, 2) else 1
    if not _fits(chain, 4):
      continue
    layout = chain.convolution[1].outputs
    frontier = list(chain.pool[0].outvars)
    while frontier:
      var = frontier.pop()
      for user in uses[var]:
        following = by_convolution.get(id(user))
        if following is None:
          if _is_step(user, var, layout):
            frontier += user.outvars
        elif (
          following.factor == 2
          and user.invars[0] is var
          and following.convolution[1].inputs == layout
          and following.convolution[1].padding == ((0, 0), (0, 0))
        ):
          chain.factor = 4


def _fits(chain: Chain, factor: int) -> bool:
  """Returns whether a chain is to be computed by space to depth."""
  (eqn, convolution), (_, pool) = chain.convolution, chain.pool
  x = _shape(eqn.invars[0], convolution.inputs.order)
  kernel = _shape(eqn.invars[1], convolution.kernel_order)
  y = _shape(eqn.outvars[0], convolution.outputs.order)
  return (
    pool.window == pool.strides == (2, 2)
    and convolution.strides == (1, 1)
    and convolution.groups == 1
    and kernel.shape[0] == kernel.shape[1] > 1
    and kernel.shape[2]
    <= (MAX_CHANNELS if kernel.shape[0] >= 5 else MAX_CHANNELS_SMALL)
    and y.shape[1] % factor == y.shape[2] % factor == 0
    and min(min(pad) for pad in convolution.padding) >= 0
    and not winograd.is_faster(x, kernel, (1, 1), convolution.padding)
  )


def evaluate(
  chain: Chain, read: Callable[[jex.Var | jex.Literal], Value]
) -> Value:
  """Computes the result of a chain.

  Args:
    chain: the chain.
    read: returns the value of a variable of the traced function.
  """
  (eqn, convolution), (_, pool) = chain.convolution, chain.pool
  x = read(eqn.invars[0])
  kernel = unwrap(read(eqn.invars[1])).transpose(convolution.kernel_order)
  layout = Layout(convolution.outputs.order, max(chain.factor // 2, 1))
  if chain.factor == 1:
    y = pool(convolution(store(x, convolution.inputs), kernel))
  else:
    blocks = Layout(convolution.inputs.order, chain.factor)
    if isinstance(x, Stored) and x.layout == blocks:
      x = x.array
    else:
      x = store(x, convolution.inputs)
      x = space_to_depth.padded(
        x, len(kernel), convolution.padding, chain.factor
      )
    y = space_to_depth.conv_and_pool(x, kernel, chain.factor)
  for step, operand in chain.steps:
    if step.primitive is primitives.add_p:
      (bias,) = (atom for atom in step.invars if atom is not operand)
      y = y + layout.store_vector(unwrap(read(bias)))
    elif step.primitive is primitives.max_p:
      y = lax.max(y, np.zeros((), y.dtype))
    else:
      y = jax.nn.relu(y)
  return wrap(y, layout)


def _is_step(eqn: jex.JaxprEqn, var: jex.Var, layout: Layout) -> bool:
  """Returns whether an equation adds a bias to a variable, or applies ReLU."""
  if eqn.primitive is primitives.add_p:
    others = [atom.aval.shape for atom in eqn.invars if atom is not var]
    channels = var.aval.shape[layout.order[3]]
    return len(others) == 1 and layout.is_per_channel(others[0], channels)
  if eqn.primitive is primitives.max_p:
    return any(
      isinstance(atom, jex.Literal) and atom.val == 0 for atom in eqn.invars
    )
  return eqn.primitive is primitives.custom_jvp_call_p and _is_relu(eqn)


def _is_relu(eqn: jex.JaxprEqn) -> bool:
  """Returns whether a function with a derivative of its own is `jax.nn.relu`.

  Value and derivative are compared as they are traced.
  """
  if len(eqn.invars) != 1 or len(eqn.outvars) != 1:
    return False
  call = functools.partial(
    eqn.primitive.bind, **eqn.primitive.get_bind_params(eqn.params)
  )
  x = jax.ShapeDtypeStruct(eqn.invars[0].aval.shape, eqn.invars[0].aval.dtype)

  def traced(function: Callable[[Array], Array]) -> str:
    return str(jax.make_jaxpr(lambda x: jax.jvp(function, (x,), (x,)))(x))

  return traced(lambda x: call(x)[0]) == traced(jax.nn.relu)


def _shape(
  atom: jex.Var | jex.Literal, order: tuple[int, int, int, int]
) -> jax.ShapeDtypeStruct:
  """Returns shape and dtype of a variable with its axes in another order."""
  shape = tuple(atom.aval.shape[axis] for axis in order)
  return jax.ShapeDtypeStruct(shape, atom.aval.dtype)
