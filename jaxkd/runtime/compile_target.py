"""The devices that programs are written for.

They are the devices of this process. Inside of `compiling_for` they are others,
of which there is only a description: programs can be lowered and compiled for
them, and not run (`python -m jaxkd.bench compile`). All code that depends on
the kind or number of devices asks here and not `jax`.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import os
from typing import NamedTuple

import jax


class CompileTarget(NamedTuple):
  """Devices of which there is only a description.

  Attributes:
    name: such as `v5e-8`.
    backend: `tpu`, `gpu` or `cpu`.
    devices: all of them.
    memory: bytes of one device.
  """

  name: str
  backend: str
  devices: tuple[jax.Device, ...]
  memory: int


_described: contextvars.ContextVar[CompileTarget | None] = (
  contextvars.ContextVar("described", default=None)
)


@contextlib.contextmanager
def compiling_for(target: CompileTarget) -> Iterator[None]:
  """Lets programs be written for `target` inside of this context.

  JAX's caches of traced functions are cleared before and after, because these
  were traced for other devices.
  """
  jax.clear_caches()
  token = _described.set(target)
  try:
    yield
  finally:
    _described.reset(token)
    jax.clear_caches()


def described() -> CompileTarget | None:
  """Returns the target of `compiling_for`; None where programs run here."""
  return _described.get()


def backend() -> str:
  """Returns the kind of the devices: `cpu`, `gpu` or `tpu`."""
  target = _described.get()
  return target.backend if target else jax.default_backend()


def devices() -> tuple[jax.Device, ...]:
  """Returns all devices, those of other processes included."""
  target = _described.get()
  return target.devices if target else tuple(jax.devices())


def device_count() -> int:
  """Returns the number of all devices."""
  target = _described.get()
  return len(target.devices) if target else jax.device_count()


def memory_bytes() -> int | None:
  """Returns the memory of one device; None where it does not say.

  Devices of the CPU share the memory of the machine.
  """
  target = _described.get()
  if target:
    return target.memory
  device = jax.local_devices()[0]
  if device.platform == "cpu":
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // jax.local_device_count()
  return (device.memory_stats() or {}).get("bytes_limit")
