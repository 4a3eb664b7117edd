"""Accelerators by name, and descriptions of them for the compilers.

Rates are those of the manufacturers' data sheets: products in bfloat16 without
sparsity, the memory's bandwidth, and that of all links of a device together. A
TPU's clock follows from its peak and its matrix units: v5e has four of
128 x 128, v6e four of 256 x 256.
"""

from pathlib import Path
from typing import NamedTuple

import jax
from jax.experimental import topologies

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.compile_target import CompileTarget


class Kind(NamedTuple):
  """A kind of accelerator.

  Attributes:
    backend: `tpu`, `gpu` or `cpu`.
    memory: bytes of one device.
    flops: FLOP/s of one device in bfloat16.
    bandwidth: bytes/s of its memory.
    links: bytes/s between devices.
    clock: cycles/s, for the compiler's estimates; 0 where it makes none.
  """

  backend: str
  memory: int
  flops: float = 0.0
  bandwidth: float = 0.0
  links: float = 0.0
  clock: float = 0.0


KINDS = {
  "v5e": Kind("tpu", 16 * 2**30, 197e12, 819e9, 200e9, 1.5e9),
  "v6e": Kind("tpu", 32 * 2**30, 918e12, 1640e9, 448e9, 1.75e9),
  "h100": Kind("gpu", 80 * 10**9, 989e12, 3350e9, 450e9),
  "h200": Kind("gpu", 141 * 10**9, 989e12, 4800e9, 450e9),
  "cpu": Kind("cpu", 16 * 2**30),
}
# Chips along the two axes of a slice, by their number.
SLICES = {
  1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16",
  256: "16x16",
}  # fmt: skip
INSTALL = "pip install 'jaxkd[aot]' in an environment of its own"


def kind_of(target: str) -> Kind:
  """Returns the kind of the devices of a target such as `v5e-8` or `h100`.

  Raises:
    JaxkdError: if there is no such target.
  """
  return KINDS[_split(target)[0]]


def describe(target: str) -> CompileTarget:
  """Describes the devices of a target: `KIND` or `KIND-NUMBER`.

  Raises:
    JaxkdError: if there is no such target, or if its compiler is not installed.
  """
  name, count = _split(target)
  kind = KINDS[name]
  if kind.backend == "cpu":
    devices = jax.devices("cpu")
    if len(devices) != count:
      jax.config.update("jax_num_cpu_devices", count)
      devices = jax.devices("cpu")
  else:
    try:
      devices = DESCRIBE[kind.backend](name, count)
    except (ImportError, RuntimeError, NotImplementedError) as error:
      raise JaxkdError(
        f"target={target}: its compiler is missing or refuses "
        f"({str(error).splitlines()[0]}); {INSTALL}."
      ) from error
  return CompileTarget(target, kind.backend, tuple(devices), kind.memory)


def _split(target: str) -> tuple[str, int]:
  name, _, number = target.partition("-")
  checks.choice("target", name, KINDS)
  allowed = SLICES if KINDS[name].backend == "tpu" else range(1, 4097)
  count = int(number) if number.isdecimal() else 0 if number else 1
  if count not in allowed:
    raise JaxkdError(
      f"target={target}: the number of devices of a TPU is one of "
      f"{', '.join(map(str, SLICES))}, of others 1 or more; e.g. v5e-8."
    )
  return name, count


def _describe_tpus(name: str, count: int) -> list[jax.Device]:
  return topologies.get_topology_desc(
    platform="tpu", topology_name=f"{name}:{SLICES[count]}"
  ).devices


def _describe_gpus(name: str, count: int) -> list[jax.Device]:
  card = Path(__file__).with_name(f"{name}.txtpb").read_text()
  return topologies.get_topology_desc(
    name.upper(), "cuda", target_config=card, topology=f"1x1x{count}"
  ).devices


DESCRIBE = {"tpu": _describe_tpus, "gpu": _describe_gpus}
