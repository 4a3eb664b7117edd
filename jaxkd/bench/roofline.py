"""What the device itself can do: a large matrix product, a large copy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.bench import timing

# Side of the matrices and bytes that are copied, by backend.
SIDES = {"cpu": 2_048}
SIDE = 16_384
COPIED = {"cpu": 2**28}
COPY = 2**32


class Roofline(NamedTuple):
  """Of all devices together.

  Attributes:
    flops: FLOP/s of a matrix product, by dtype.
    bytes: bytes/s of a copy, read and written ones both counted.
  """

  flops: dict[str, float]
  bytes: float


def measure(
  dtypes: tuple[str, ...], repeats: int = 5, scale: float = 1.0
) -> Roofline:
  """The ceilings of all devices: the first one's, as often as there are
  devices; a CPU's cores are measured together.

  Args:
    dtypes: of the products, by name; products of float32 are as precise as the
      device takes them by default, which is TF32 on a GPU.
    repeats: the median of how many.
    scale: of the sizes, for tests.
  """
  backend = jax.default_backend()
  devices = 1 if backend == "cpu" else jax.device_count()
  side = int(scale * SIDES.get(backend, SIDE))
  product = jax.jit(jnp.matmul)
  flops = {}
  for dtype in dtypes:
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    taken = _seconds(lambda matrix=matrix: product(matrix, matrix), repeats)
    flops[dtype] = devices * 2 * side**3 / taken
  count = int(scale * COPIED.get(backend, COPY)) // 4
  numbers = jnp.ones(count, jnp.float32)
  size = numbers.nbytes
  # A bare copy would be left out, and one to memory that the system has not
  # given yet would time the system.
  copy = jax.jit(lambda numbers: -numbers, donate_argnums=0)

  def copied() -> jax.Array:
    nonlocal numbers
    numbers = copy(numbers)
    return numbers

  return Roofline(flops, devices * 2 * size / _seconds(copied, repeats))


def _seconds(run, repeats: int) -> float:
  jax.block_until_ready(run())
  blocked = {"run": lambda: jax.block_until_ready(run())}
  return timing.interleaved(blocked, repeats)["run"]
