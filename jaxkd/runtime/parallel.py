"""How the devices divide the training of networks among them.

A batch is divided with `jax.pmap` (`DataParallel`): each device has its slice,
and gradients are averaged. Several networks are one `vmap` on accelerators. The
devices of a CPU, which are its cores, divide the networks instead, where they
can do so evenly (`NetworkParallel`): that needs no communication, and every
network is that of a single device.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import chex
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jaxkd.runtime import compile_target, devices
from jaxkd.runtime.devices import DATA
from jaxkd.runtime.processes import is_multiprocess

Tree = TypeVar("Tree")  # a pytree of arrays
State = TypeVar("State")  # a pytree of arrays
Shared = TypeVar("Shared")  # a pytree of arrays
Result = TypeVar("Result")  # a pytree of arrays


class DataParallel(Generic[State, Shared, Tree, Result]):
  """Maps `function(state, shared, batches)` over devices, a slice for each.

  `batches` has a leading axis of one slice per device. The state is a plain
  pytree, the same on all devices before and after, so `function` has to apply
  `mean` to everything that depends on the batch. The memory of the state is
  used again, so that the caller's arrays are gone; `shared` stays.
  """

  def __init__(self, function: Callable[[State, Shared, Tree], Result]):
    self._function = function
    self._mapped = self._map_over(None)

  def _map_over(
    self, chosen: tuple[jax.Device, ...] | None
  ) -> Callable[[State, Shared, Tree], Result]:
    return jax.pmap(
      self._function,
      axis_name=DATA,
      in_axes=(None, None, 0),
      out_axes=None,
      donate_argnums=0,
      devices=chosen,
    )

  def __call__(self, state: State, shared: Shared, batches: Tree) -> Result:
    # pmap refuses arrays with another sharding than its own.
    state, shared = devices.replicate((state, shared))
    batches = devices.place_on(batches, devices.split())
    if not is_multiprocess():
      return self._mapped(state, shared, batches)
    # pmap takes and returns the part of every array that is on this host.
    arguments = multihost_utils.global_array_to_host_local_array(
      (state, shared, batches), devices.mesh(), (P(), P(), P(DATA))
    )
    return multihost_utils.host_local_array_to_global_array(
      self._mapped(*arguments), devices.mesh(), P()
    )

  def program(
    self, state: State, shared: Shared, batches: Tree
  ) -> devices.Program:
    """Returns what is dispatched, with shapes; also for a compile target."""
    target = compile_target.described()
    mapped = self._map_over(target.devices) if target else self._mapped
    batches = devices.with_sharding(batches, devices.split())
    return devices.Program(mapped, (*devices.shapes((state, shared)), batches))


class NetworkParallel(Generic[State, Tree, Shared, Result]):
  """Maps `function(shared, (states, others))` over devices, a share of stacked
  networks for each.

  `states` and `others` have a leading axis of networks that the devices divide
  evenly. The memory of the states is used again, so that the caller's arrays
  are gone.
  """

  def __init__(self, function: Callable[[Shared, tuple[State, Tree]], Result]):
    def mapped(states: State, others: Tree, shared: Shared) -> Result:
      return devices.over_sets(function)(shared, (states, others))

    self._mapped = jax.jit(mapped, donate_argnums=0)

  def __call__(self, states: State, others: Tree, shared: Shared) -> Result:
    states, others = devices.place_on((states, others), devices.split())
    return self._mapped(states, others, devices.replicate(shared))

  def program(
    self, states: State, others: Tree, shared: Shared
  ) -> devices.Program:
    """Returns what is dispatched, with shapes; also for a compile target."""
    networks = devices.with_sharding((states, others), devices.split())
    return devices.Program(self._mapped, (*networks, devices.shapes(shared)))


def divides_networks(networks: int) -> bool:
  """Returns whether devices should divide networks and not batches."""
  count = compile_target.device_count()
  return (
    compile_target.backend() == "cpu"
    and count > 1
    and networks % count == 0
    and not is_multiprocess()
  )


def mean(tree: Tree) -> Tree:
  """Averages the floats of a tree over the devices, inside `DataParallel`;
  integers, such as counters, stay as they are.
  """
  leaves, structure = jax.tree.flatten(tree)
  exact = [not jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
  inexact = [leaf for leaf, keep in zip(leaves, exact, strict=True) if not keep]
  means = iter(jax.lax.pmean(inexact, DATA))
  return jax.tree.unflatten(
    structure,
    [
      leaf if keep else next(means)
      for leaf, keep in zip(leaves, exact, strict=True)
    ],
  )


def device_index() -> jax.Array:
  """Returns the index of the current device, inside `DataParallel`."""
  return jax.lax.axis_index(DATA)


def vmap_networks(
  function: Callable[..., chex.ArrayTree],
) -> Callable[..., chex.ArrayTree]:
  """Maps `function` over several networks, stacked along the leading axes.

  On accelerators this is one `vmap`. On the CPU it is a loop, because batched
  kernels become grouped convolutions there, which are several times slower; if
  the networks can be divided evenly over its devices, each has its share.
  """
  if compile_target.backend() != "cpu":
    return jax.vmap(function)

  def loop(shared: tuple[()], trees: tuple[chex.ArrayTree, ...]):
    del shared
    return jax.lax.map(lambda leaves: function(*leaves), trees)

  def call(*trees: chex.ArrayTree) -> chex.ArrayTree:
    inside = jax.sharding.get_abstract_mesh().manual_axes
    if inside or not divides_networks(len(jax.tree.leaves(trees)[0])):
      return loop((), trees)
    return devices.over_sets(loop)((), trees)

  return call


def split_batches(batches: jax.Array) -> jax.Array:
  """Splits `[steps, B, ...]` into `[D, steps, B / D, ...]` for D devices."""
  count = compile_target.device_count()
  steps, size = batches.shape[:2]
  slices = batches.reshape(steps, count, size // count, *batches.shape[2:])
  # With the constraint a device computes its own slice only.
  return jax.lax.with_sharding_constraint(
    slices.swapaxes(0, 1), devices.split()
  )


def join_batches(slices: jax.Array) -> jax.Array:
  """Returns the batches `[steps, B, ...]` that `split_batches` has split."""
  steps = slices.shape[1]
  return slices.swapaxes(0, 1).reshape(steps, -1, *slices.shape[3:])
