"""Rates of accelerators by the name of their kind.

They are those of the manufacturers' data sheets: products in bfloat16 without
sparsity, the memory's bandwidth, and the links to other devices, of which a
TPU's are said together in bits. A TPU's clock follows from its peak and its
matrix units: v5e has four of 128 x 128, v6e four of 256 x 256.
"""

from typing import NamedTuple


class Accelerator(NamedTuple):
  """A kind of device.

  Attributes:
    backend: `tpu`, `gpu` or `cpu`.
    device_kind: how `jax.Device.device_kind` begins.
    memory: bytes of one device.
    flops: FLOP/s in bfloat16.
    bandwidth: bytes/s of its memory.
    tile: side of a matrix unit, up to multiples of which products are filled.
    clock: cycles/s, for a compiler's estimates; 0 where it makes none.
    links: bytes/s that it sends to other devices over all links.
  """

  backend: str
  device_kind: str
  memory: int
  flops: float = 0.0
  bandwidth: float = 0.0
  tile: int = 1
  clock: float = 0.0
  links: float = 0.0


ACCELERATORS = {
  "v5e": Accelerator(
    "tpu", "TPU v5 lite", 16 * 2**30, 197e12, 819e9, 128, 1.5e9, 200e9
  ),
  "v6e": Accelerator(
    "tpu", "TPU v6 lite", 32 * 2**30, 918e12, 1640e9, 256, 1.75e9, 448e9
  ),
  "h100": Accelerator(
    "gpu", "NVIDIA H100", 80 * 10**9, 989e12, 3350e9, 16, links=450e9
  ),
  "h200": Accelerator(
    "gpu", "NVIDIA H200", 141 * 10**9, 989e12, 4800e9, 16, links=450e9
  ),
  "cpu": Accelerator("cpu", "cpu", 16 * 2**30),
}


def find(device_kind: str) -> Accelerator | None:
  """Returns what is known about a kind of device; None if nothing is.

  >>> find("NVIDIA H100 80GB HBM3").memory
  80000000000
  """
  return next(
    (
      each
      for each in ACCELERATORS.values()
      if device_kind.startswith(each.device_kind)
    ),
    None,
  )
