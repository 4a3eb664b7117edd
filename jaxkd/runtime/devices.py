"""The only file that knows about devices and hosts.

Synthesis is sharded over sets and needs no communication; the student is
trained data parallel with `jax.pmap`, its gradients averaged. Everything else
sees plain arrays.

Several processes, one or more on each host, run the same program at the same
time. Between stages each has its own copy of everything; a stage begins with
`replicate`, which makes of the copies arrays over all devices, and ends with
`gathered`. What is not the same everywhere, such as the clock, a signal or a
file, is agreed on before anything follows from it. The first process writes.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from jaxkd.runtime.processes import is_multiprocess

DATA = "data"


@functools.cache
def mesh() -> Mesh:
  """All devices in a row, those of a process side by side, as pmap has them."""
  devices = sorted(jax.devices(), key=lambda device: device.process_index)
  return Mesh(np.array(devices), (DATA,), (AxisType.Auto,))


def replicated() -> NamedSharding:
  """Of an array that all devices have a copy of."""
  return NamedSharding(mesh(), P())


def replicate(tree: Any) -> Any:
  """A copy of every array on every device, also those of other processes."""
  return _laid(tree, replicated())


def _laid(tree: Any, sharding: NamedSharding) -> Any:
  if not is_multiprocess():
    return jax.device_put(tree, sharding)

  def lay(leaf: Any) -> jax.Array:
    leaf = jnp.asarray(leaf)
    if not leaf.is_fully_addressable:
      return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      data = lay(jax.random.key_data(leaf))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    # `device_put` would compare the copies of all processes each time.
    mine = np.asarray(leaf)
    return jax.make_array_from_callback(
      mine.shape, sharding, lambda index: mine[index]
    )

  return jax.tree.map(lay, tree)


def to_local(tree: Any) -> Any:
  """Every array whole, and this process's own."""
  if not is_multiprocess():
    return tree

  def own(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
      return replicate(leaf).addressable_data(0)
    return leaf

  return jax.tree.map(own, tree)


def over_sets(function: Callable[..., Any]) -> Callable[..., Any]:
  """`function(shared, batched)` with the leading axis of `batched` split over
  the devices, `shared` copied to each; outputs are split likewise.
  """
  return jax.shard_map(
    function,
    mesh=mesh(),
    in_specs=(P(), P(DATA)),
    out_specs=P(DATA),
    # Nothing is differentiated across this boundary, and the convolution's
    # own VJP is not known to the replication checker.
    check_vma=False,
  )


def data_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
  """`function(state, batches)` with `batches [D, ...]` one slice per device.

  The state is a plain pytree, the same on all devices before and after; inside
  use `mean` on everything that depends on the batch.
  """
  mapped = jax.pmap(function, axis_name=DATA, in_axes=(None, 0), out_axes=None)

  def run(state: Any, batches: Any) -> Any:
    # pmap refuses arrays that lie otherwise than it would lay them.
    state = replicate(state)
    batches = _laid(batches, NamedSharding(mesh(), P(DATA)))
    if not is_multiprocess():
      return mapped(state, batches)
    # It takes and gives the part of every array that is on this host.
    state, batches = multihost_utils.global_array_to_host_local_array(
      (state, batches), mesh(), (P(), P(DATA))
    )
    return multihost_utils.host_local_array_to_global_array(
      mapped(state, batches), mesh(), P()
    )

  return run


def mean(tree: Any) -> Any:
  """Average over the devices, inside `data_parallel`."""
  return jax.lax.pmean(tree, DATA)


def device_index() -> jax.Array:
  """Which device this is, inside `data_parallel`."""
  return jax.lax.axis_index(DATA)


def vmap_networks(function: Callable[..., Any]) -> Callable[..., Any]:
  """`function` for several networks at once, over the leading axes.

  One `vmap` on accelerators. On the CPU a loop: there batched kernels become
  grouped convolutions, which are several times slower.
  """
  if jax.default_backend() != "cpu":
    return jax.vmap(function)
  return lambda *trees: jax.lax.map(lambda leaves: function(*leaves), trees)


def split_batches(batches: jax.Array) -> jax.Array:
  """`[steps, B, ...]` to `[D, steps, B / D, ...]`, a slice per device."""
  devices = jax.device_count()
  steps, size = batches.shape[:2]
  split = batches.reshape(steps, devices, size // devices, *batches.shape[2:])
  # So that a device computes no more than its own slice.
  return jax.lax.with_sharding_constraint(
    split.swapaxes(0, 1), NamedSharding(mesh(), P(DATA))
  )
