"""The rates of the device in a large matrix product and a large copy."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxkd.bench import timing

# Side of the matrices, and bytes of the copied array, by backend.
SIDES, DEFAULT_SIDE = {"cpu": 2_048}, 16_384
COPY_BYTES, DEFAULT_COPY_BYTES = {"cpu": 2**28}, 2**32


class Roofline(NamedTuple):
  """The rates of all devices together.

  Attributes:
    flops: FLOP/s of a matrix product, by type.
    bytes: bytes/s of a copy, the sum of those read and written.
  """

  flops: dict[str, float]
  bytes: float


def measure(
  dtypes: tuple[str, ...], repeats: int = 5, scale: float = 1.0
) -> Roofline:
  """Measures the rates of all devices.

  They are those of the first device times the number of devices; a CPU's cores
  are measured together.

  Args:
    dtypes: the types of the products; float32 has the device's default
      precision, which is TF32 on a GPU.
    repeats: the number of runs, of which the median is taken.
    scale: the factor of the sizes, for tests.
  """
  backend = jax.default_backend()
  devices = 1 if backend == "cpu" else jax.device_count()
  side = int(scale * SIDES.get(backend, DEFAULT_SIDE))
  product = jax.jit(jnp.matmul)
  flops = {}
  for dtype in dtypes:
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    seconds = _seconds(lambda matrix=matrix: product(matrix, matrix), repeats)
    flops[dtype] = devices * 2 * side**3 / seconds
  count = int(scale * COPY_BYTES.get(backend, DEFAULT_COPY_BYTES)) // 4
  numbers = jnp.ones(count, jnp.float32)
  size = numbers.nbytes
  # XLA removes a plain copy, so the numbers are negated. Memory is donated and
  # used again, because its first use would time the operating system.
  copy = jax.jit(lambda numbers: -numbers, donate_argnums=0)

  def run_copy() -> jax.Array:
    nonlocal numbers
    numbers = copy(numbers)
    return numbers

  return Roofline(flops, devices * 2 * size / _seconds(run_copy, repeats))


def _seconds(run: Callable[[], jax.Array], repeats: int) -> float:
  jax.block_until_ready(run())
  blocked = {"run": lambda: jax.block_until_ready(run())}
  return timing.interleaved(blocked, repeats)["run"]
