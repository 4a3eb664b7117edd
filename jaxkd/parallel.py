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

from collections.abc import Callable, Iterator
import contextlib
import functools
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from jaxkd.errors import BudgetExhausted, JaxkdError

DATA = "data"
LONGEST_MESSAGE = 2048  # bytes of an error that processes tell each other


def join(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  *,
  initialization_s: int,
  heartbeat_s: int,
) -> None:
  """Makes this process one of several; before anything is computed.

  Slurm, Open MPI, Kubernetes and TPU pods say themselves who the others are.

  Args:
    coordinator: `HOST:PORT` at which the first process may listen.
    num_processes: how many there are.
    process_id: which of them this is, from 0.
    initialization_s: seconds to wait for the others to start.
    heartbeat_s: seconds of silence after which a process counts as dead, and
      all others end.

  Raises:
    JaxkdError: if only some of the first three are given, if they can't be, or
      if nobody knows who the others are.
  """
  given = (coordinator, num_processes, process_id)
  if any(part is not None for part in given) and None in given:
    raise JaxkdError(
      "--coordinator, --num_processes and --process_id belong together; give "
      "all of them, or none where the cluster knows them."
    )
  if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
    raise JaxkdError(f"--coordinator={coordinator}: write HOST:PORT.")
  try:
    jax.distributed.initialize(
      *given,
      initialization_timeout=initialization_s,
      heartbeat_timeout_seconds=heartbeat_s,
    )
  except (RuntimeError, ValueError) as error:
    hint = "" if coordinator else (
      " Where no cluster says who the others are, give --coordinator, "
      "--num_processes and --process_id."
    )  # fmt: skip
    raise JaxkdError(f"--distributed: {error}{hint}") from error


def several() -> bool:
  """Whether there are other processes."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_writer() -> bool:
  """Whether this is the first process, or the only one."""
  return not several() or jax.process_index() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
  """All processes get here, and go on together: what one of them raises inside
  the others raise as well, as a `JaxkdError`.
  """
  if not several():
    yield
    return
  try:
    yield
  except Exception as error:
    _exchanged(f"{type(error).__name__} {error}")
    raise
  for message in filter(None, _exchanged("")):
    name, _, text = message.partition(" ")
    raise (BudgetExhausted if name == "BudgetExhausted" else JaxkdError)(text)


def _exchanged(message: str) -> list[str]:
  """The messages of all processes."""
  text = message.encode()[:LONGEST_MESSAGE]
  mine = np.zeros(LONGEST_MESSAGE, np.uint8)
  mine[: len(text)] = np.frombuffer(text, np.uint8)
  rows = multihost_utils.process_allgather(mine)
  return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]


def check_same(what: str, text: str) -> None:
  """Refuses processes that have set out to do different things.

  Raises:
    JaxkdError: on all of them, if their texts differ.
  """
  if several() and len(set(_exchanged(text))) > 1:
    raise JaxkdError(
      f"The processes differ in {what}; start all with the same command on the "
      "same data."
    )


def agreed(number: int) -> int:
  """What the first process says."""
  if not several():
    return number
  return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def any_process(*flags: bool) -> tuple[bool, ...]:
  """Which of the flags are up on some process."""
  if not several():
    return flags
  return tuple(multihost_utils.process_allgather(np.array(flags)).any(0))


@functools.cache
def mesh() -> Mesh:
  """All devices in a row, those of a process side by side, as pmap has them."""
  devices = sorted(jax.devices(), key=lambda device: device.process_index)
  return Mesh(np.array(devices), (DATA,), (AxisType.Auto,))


def everywhere() -> NamedSharding:
  """Of an array that all devices have a copy of."""
  return NamedSharding(mesh(), P())


def replicate(tree: Any) -> Any:
  """A copy of every array on every device, also those of other processes."""
  return _laid(tree, everywhere())


def _laid(tree: Any, sharding: NamedSharding) -> Any:
  if not several():
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


def gathered(tree: Any) -> Any:
  """Every array whole, and this process's own."""
  if not several():
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
    if not several():
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


def ensemble(function: Callable[..., Any]) -> Callable[..., Any]:
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
