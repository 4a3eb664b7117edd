"""Descriptions of accelerators for the compilers."""

import contextlib
import os
from pathlib import Path

import jax
from jax.experimental import topologies

from jaxkd.config import checks
from jaxkd.errors import JaxkdError
from jaxkd.runtime.accelerators import ACCELERATORS, Accelerator
from jaxkd.runtime.compile_target import CompileTarget

# Chips along the two axes of a slice, by their number.
SLICES = {
  1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16",
  256: "16x16",
}  # fmt: skip
INSTALL = "pip install 'jaxkd[aot]' in an environment of its own"


def kind_of(target: str) -> Accelerator:
  """Returns the kind of the devices of a target such as `v5e-8` or `h100`.

  Raises:
    JaxkdError: if there is no such target.
  """
  return ACCELERATORS[_split(target)[0]]


def describe(target: str) -> CompileTarget:
  """Describes the devices of a target: `KIND` or `KIND-NUMBER`.

  Raises:
    JaxkdError: if there is no such target, or if its compiler is not installed.
  """
  name, count = _split(target)
  kind = ACCELERATORS[name]
  if kind.backend == "cpu":
    with contextlib.suppress(RuntimeError):  # where JAX has started already
      jax.config.update("jax_num_cpu_devices", count)
    devices = jax.devices("cpu")
    if len(devices) != count:
      raise JaxkdError(
        f"target={target}: this process has {len(devices)} devices of the CPU; "
        f"choose cpu-{len(devices)}, or compile in a new process."
      )
  else:
    try:
      devices = DESCRIBE[kind.backend](name, count)
    except (ImportError, RuntimeError) as error:
      raise JaxkdError(
        f"target={target}: its compiler is missing or refuses "
        f"({str(error).splitlines()[0]}); {INSTALL}."
      ) from error
  return CompileTarget(target, kind.backend, tuple(devices), kind.memory)


def _split(target: str) -> tuple[str, int]:
  name, _, number = target.partition("-")
  checks.choice("target", name, ACCELERATORS)
  allowed = SLICES if ACCELERATORS[name].backend == "tpu" else range(1, 4097)
  count = int(number) if number.isdecimal() else 0 if number else 1
  if count not in allowed:
    raise JaxkdError(
      f"target={target}: the number of devices of a TPU is one of "
      f"{', '.join(map(str, SLICES))}, of others 1 or more; e.g. v5e-8."
    )
  return name, count


def _describe_tpus(name: str, count: int) -> list[jax.Device]:
  # Nothing runs, so several processes may use the library at once, and there is
  # no machine to ask for the properties of a chip.
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  # A host has four chips, or one.
  bounds = {"chips_per_host_bounds": (1, 1, 1)} if count == 1 else {}
  return topologies.get_topology_desc(
    platform="tpu", topology_name=f"{name}:{SLICES[count]}", **bounds
  ).devices


def _describe_gpus(name: str, count: int) -> list[jax.Device]:
  card = Path(__file__).with_name(f"{name}.txtpb").read_text()
  return topologies.get_topology_desc(
    name.upper(), "cuda", target_config=card, topology=f"1x1x{count}"
  ).devices


DESCRIBE = {"tpu": _describe_tpus, "gpu": _describe_gpus}
