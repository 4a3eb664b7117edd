"""Placement of arrays on devices: replicated, sharded and data parallel.

CAKE's synthesis is sharded over sets and needs no communication. In the rounds
of the other methods XLA divides the batches (`over_batch`). In epochs students
are trained data parallel with `jax.pmap`, and their gradients are averaged.

Several processes, one or more on each host, run the same program at the same
time (`jaxkd.runtime.processes`). Between stages each process has its own copy
of every array; a stage begins with `replicate`, which turns the copies into
arrays over all devices, and ends with `to_local`.
"""

from collections.abc import Callable
import functools
from typing import Generic, NamedTuple, TypeVar

import chex
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from jaxkd.runtime import compile_target
from jaxkd.runtime.processes import is_multiprocess

Tree = TypeVar("Tree")  # a pytree of arrays
State = TypeVar("State")  # a pytree of arrays
Shared = TypeVar("Shared")  # a pytree of arrays
Result = TypeVar("Result")  # a pytree of arrays

DATA = "data"  # name of the mesh axis of all devices


class Program(NamedTuple):
  """A function that is dispatched as one program, and what it is lowered for.

  Attributes:
    function: from `jax.jit` or `jax.pmap`.
    arguments: shapes with their shardings.
  """

  function: Callable[..., chex.ArrayTree]
  arguments: tuple[chex.ArrayTree, ...]

  def lower(self) -> jax.stages.Lowered:
    """Traces and lowers the function."""
    return self.function.lower(*self.arguments)


def mesh() -> Mesh:
  """Returns the one-dimensional mesh of all devices, ordered by process."""
  return _mesh_of(compile_target.devices())


@functools.cache
def _mesh_of(devices: tuple[jax.Device, ...]) -> Mesh:
  ordered = sorted(devices, key=lambda device: device.process_index)
  return Mesh(np.array(ordered), (DATA,), (AxisType.Auto,))


def replicated() -> NamedSharding:
  """Returns the sharding of an array that is copied to all devices."""
  return NamedSharding(mesh(), P())


def replicate(tree: Tree) -> Tree:
  """Copies every array to every device, also to those of other processes."""
  return _place(tree, replicated())


def shapes(tree: Tree) -> Tree:
  """Returns shapes in place of the arrays that `replicate` would return."""
  return _with_sharding(tree, replicated())


def _with_sharding(tree: Tree, sharding: NamedSharding) -> Tree:
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding, weak_type=leaf.weak_type
    ),
    jax.eval_shape(lambda tree: tree, tree),
  )


def _place(tree: Tree, sharding: NamedSharding) -> Tree:
  if not is_multiprocess():
    return jax.device_put(tree, sharding)

  def place(leaf: jax.typing.ArrayLike) -> jax.Array:
    leaf = jnp.asarray(leaf)
    if not leaf.is_fully_addressable:
      return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      data = place(jax.random.key_data(leaf))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    # `device_put` would compare the copies of all processes each time.
    local = np.asarray(leaf)
    return jax.make_array_from_callback(
      local.shape, sharding, lambda index: local[index]
    )

  return jax.tree.map(place, tree)


def to_local(tree: Tree) -> Tree:
  """Returns every array in full, on the devices of this process alone."""
  if not is_multiprocess():
    return tree

  def local(leaf: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
      return replicate(leaf).addressable_data(0)
    return leaf

  return jax.tree.map(local, tree)


def gather_all(tree: Tree) -> Tree:
  """Copies arrays that are split over devices to all of them, when jitted."""
  return jax.lax.with_sharding_constraint(tree, replicated())


def over_batch(tree: Tree) -> Tree:
  """Splits arrays over all devices along their leading axis, when jitted.

  XLA then divides what is computed from them, and adds up over the devices what
  is a sum over the batch: gradients, losses, batch statistics. Arrays that
  can't be split evenly stay whole, and so do those inside of `over_sets`.
  """
  count = compile_target.device_count()
  if count == 1 or jax.sharding.get_abstract_mesh().manual_axes:
    return tree
  sharding = NamedSharding(mesh(), P(DATA))
  return jax.tree.map(
    lambda leaf: (
      leaf
      if len(leaf) % count
      else jax.lax.with_sharding_constraint(leaf, sharding)
    ),
    tree,
  )


def over_sets(
  function: Callable[..., chex.ArrayTree],
) -> Callable[..., chex.ArrayTree]:
  """Shards `function(shared, batched)` over the leading axis of `batched`.

  `shared` is copied to every device; outputs are split like `batched`.
  """
  return jax.shard_map(
    function,
    mesh=mesh(),
    in_specs=(P(), P(DATA)),
    out_specs=P(DATA),
    # Nothing is differentiated across this boundary, and the replication
    # checker does not know the custom VJP of the convolutions.
    check_vma=False,
  )


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
    self, devices: tuple[jax.Device, ...] | None
  ) -> Callable[[State, Shared, Tree], Result]:
    return jax.pmap(
      self._function,
      axis_name=DATA,
      in_axes=(None, None, 0),
      out_axes=None,
      donate_argnums=0,
      devices=devices,
    )

  def __call__(self, state: State, shared: Shared, batches: Tree) -> Result:
    # pmap refuses arrays with another sharding than its own.
    state, shared = replicate((state, shared))
    batches = _place(batches, NamedSharding(mesh(), P(DATA)))
    if not is_multiprocess():
      return self._mapped(state, shared, batches)
    # pmap takes and returns the part of every array that is on this host.
    arguments = multihost_utils.global_array_to_host_local_array(
      (state, shared, batches), mesh(), (P(), P(), P(DATA))
    )
    return multihost_utils.host_local_array_to_global_array(
      self._mapped(*arguments), mesh(), P()
    )

  def program(self, state: State, shared: Shared, batches: Tree) -> Program:
    """Returns what is dispatched, with shapes; also for a compile target."""
    target = compile_target.described()
    mapped = self._map_over(target.devices) if target else self._mapped
    batches = _with_sharding(batches, NamedSharding(mesh(), P(DATA)))
    return Program(mapped, (*shapes((state, shared)), batches))


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
  kernels become grouped convolutions there, which are several times slower.
  """
  if compile_target.backend() != "cpu":
    return jax.vmap(function)
  return lambda *trees: jax.lax.map(lambda leaves: function(*leaves), trees)


def split_batches(batches: jax.Array) -> jax.Array:
  """Splits `[steps, B, ...]` into `[D, steps, B / D, ...]` for D devices."""
  devices = compile_target.device_count()
  steps, size = batches.shape[:2]
  split = batches.reshape(steps, devices, size // devices, *batches.shape[2:])
  # With the constraint a device computes its own slice only.
  return jax.lax.with_sharding_constraint(
    split.swapaxes(0, 1), NamedSharding(mesh(), P(DATA))
  )
