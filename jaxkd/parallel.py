"""The only file that knows about devices.

Synthesis is sharded over sets and needs no communication; the student is
trained data parallel with `jax.pmap`, its gradients averaged. Everything else
sees plain arrays.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

DATA = "data"


@functools.cache
def mesh() -> Mesh:
  """All devices in a row."""
  return jax.make_mesh((jax.device_count(),), (DATA,), (AxisType.Auto,))


def replicate(tree: Any) -> Any:
  """A copy of every array on every device."""
  return jax.device_put(tree, NamedSharding(mesh(), P()))


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
    batches = jax.device_put(batches, NamedSharding(mesh(), P(DATA)))
    return mapped(replicate(state), batches)

  return run


def mean(tree: Any) -> Any:
  """Average over the devices, inside `data_parallel`."""
  return jax.lax.pmean(tree, DATA)


def device_index() -> jax.Array:
  """Which device this is, inside `data_parallel`."""
  return jax.lax.axis_index(DATA)


def ensemble(function: Callable[..., Any]) -> Callable[..., Any]:
  """`function` for several networks at once, over the leading axes.

  One `vmap` on accelerators. On the CPU a loop: there batched kernels become
  grouped convolutions, which are several times slower.
  """
  if jax.default_backend() != "cpu":
    return jax.vmap(function)
  return lambda *trees: jax.lax.map(lambda leaves: function(*leaves), trees)


def split_batches(batches: Any) -> Any:
  """`[steps, B, ...]` to `[D, steps, B / D, ...]`, a slice per device."""
  devices = jax.device_count()

  def split(leaf: jax.Array) -> jax.Array:
    steps, size = leaf.shape[:2]
    leaf = leaf.reshape(steps, devices, size // devices, *leaf.shape[2:])
    return leaf.swapaxes(0, 1)

  return jax.tree.map(split, batches)
