"""Placement of arrays on devices: replicated, and sharded.

CAKE's synthesis is sharded over sets and needs no communication. In the rounds
of the other methods XLA divides the batches (`over_batch`). How epochs are
divided is said in `jaxkd.runtime.parallel`.

Several processes, one or more on each host, run the same program at the same
time (`jaxkd.runtime.processes`). Between stages each process has its own copy
of every array; a stage begins with `replicate`, which turns the copies into
arrays over all devices, and ends with `to_local`.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from jaxkd.runtime import compile_target
from jaxkd.runtime.processes import is_multiprocess

Tree = TypeVar("Tree")  # a pytree of arrays

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


def split() -> NamedSharding:
  """Returns the sharding of an array that is split along its leading axis."""
  return NamedSharding(mesh(), P(DATA))


def replicate(tree: Tree) -> Tree:
  """Copies every array to every device, also to those of other processes."""
  return place_on(tree, replicated())


def shapes(tree: Tree) -> Tree:
  """Returns shapes in place of the arrays that `replicate` would return."""
  return with_sharding(tree, replicated())


def with_sharding(tree: Tree, sharding: NamedSharding) -> Tree:
  """Returns shapes in place of the arrays that `place_on` would return."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding, weak_type=leaf.weak_type
    ),
    jax.eval_shape(lambda tree: tree, tree),
  )


def place_on(tree: Tree, sharding: NamedSharding) -> Tree:
  """Copies or splits every array to devices, also to other processes'."""
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
  return jax.tree.map(
    lambda leaf: (
      leaf
      if len(leaf) % count
      else jax.lax.with_sharding_constraint(leaf, split())
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
