"""The cores of the CPU, as devices of JAX.

A program of XLA:CPU uses little more than one core. As many devices as there
are cores do more: 1.2 to 1.7 times as much on two.
"""

from collections.abc import Sequence
import math
import os
from pathlib import Path

import jax

# Of a batch on a device. With fewer images the devices wait for each other
# longer than they work.
MIN_IMAGES = 16
_CGROUPS = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


def use_all(batches: Sequence[int], sets: Sequence[int] = ()) -> int:
  """Makes devices of the cores, before JAX starts.

  There are as many as cores, or as divide all sets evenly and all batches into
  parts of `MIN_IMAGES` or more. Nothing is changed where the user has chosen a
  number, by `--jax_num_cpu_devices` or in `XLA_FLAGS`, or where JAX has
  started.

  In a library this is left to the user, before anything of JAX is called:
  `NPROC=8 JAX_NUM_CPU_DEVICES=2 python my_script.py`.

  Args:
    batches: sizes of the batches that networks are trained on; empty leaves
      one device.
    sets: numbers of sets that devices divide.

  Returns:
    The number of devices; 0 if nothing was changed.
  """
  chosen = jax.config.jax_num_cpu_devices >= 0
  if chosen or "device_count" in os.environ.get("XLA_FLAGS", ""):
    return 0
  devices = number_of_devices(count(), batches, sets)
  try:
    jax.config.update("jax_num_cpu_devices", devices)
  except RuntimeError:  # JAX has started
    return 0
  # All devices share one pool of threads. Where it has hardly more threads than
  # there are devices, programs that wait for each other can wait for ever (up
  # to jax 0.11).
  threads = os.environ.get("NPROC", "")
  if not threads.isdecimal() or int(threads) < 4 * devices:
    os.environ["NPROC"] = str(4 * devices)
  return devices


def number_of_devices(
  cores: int, batches: Sequence[int], sets: Sequence[int] = ()
) -> int:
  """Returns how many devices `use_all` makes.

  >>> number_of_devices(8, batches=[128, 64], sets=[40])
  4
  >>> number_of_devices(8, batches=[128, 75])
  1
  """
  parts = min((size // MIN_IMAGES for size in batches), default=1)
  whole = math.gcd(*batches, *sets)
  most = max(1, min(cores, parts))
  return max(n for n in range(1, most + 1) if whole % n == 0)


def count() -> int:
  """Returns the number of physical cores that this process may use.

  Of cores that run two threads each counts once; a container's share of the
  machine's time is respected.
  """
  cpus = _usable()
  cores = len({_siblings(cpu) for cpu in cpus})
  return max(1, int(min(cores, _share())))


def _usable() -> set[int]:
  if hasattr(os, "sched_getaffinity"):  # Linux
    return os.sched_getaffinity(0)
  return set(range(os.cpu_count() or 1))


def _siblings(cpu: int) -> str:
  """Returns a name of the core that a logical CPU is of."""
  file = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
  try:
    return file.read_text()
  except OSError:  # not Linux, where they are cores
    return str(cpu)


def _share() -> float:
  """Returns how many cores' time a container has."""
  for files in (
    ("cpu.max",),
    ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
  ):
    try:
      numbers = " ".join((_CGROUPS / f).read_text() for f in files).split()
      quota, period = map(float, numbers)  # "max" where there is no limit
    except (OSError, ValueError):
      continue
    if quota > 0 and period > 0:
      return quota / period
  return math.inf
